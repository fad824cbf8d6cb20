import type { Context } from './check.ts';
import { blobOf, manifestOf, type Blob } from './content.ts';
import type { Client } from './push.ts';

export const mebibyte = 1024 * 1024;
const kibibyte = 1024;

export const config = blobOf('config', 700);
export const small: Readonly<Record<Client, Blob>> = {
  docker: blobOf('docker', 40 * kibibyte),
  containerd: blobOf('containerd', 50 * kibibyte),
  oras: blobOf('oras', 60 * kibibyte),
};

/** Above what Lambda takes (6 MB with its encoding), and above what API Gateway takes (10 MB). */
export const large: Readonly<Record<Client, Blob>> = {
  docker: blobOf('docker', 12 * mebibyte),
  containerd: blobOf('containerd', 7 * mebibyte),
  oras: blobOf('oras', 11 * mebibyte),
};

/** In two chunks, each of which passes through functions. */
export const chunked = blobOf('chunks', 5 * mebibyte);
export const chunkSize = 4 * mebibyte;

/** The image of one run. */
export function imageOf(context: Context): Blob {
  return manifestOf(config, Object.values(small), context.run);
}

export const tagOf = ({ run }: Context): string => `smoke-${run}`;
