import { join } from 'node:path';

import { readSmallFile } from './small-files.ts';

export const uploadIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Bytes of the file: a key and metadata. */
const maxSize = 64 * 1024;

/** Of a multipart upload, in its file `upload`. */
export interface Upload {
  readonly key: string;
  readonly started: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * What a multipart upload's file says of it.
 * @param folder of the upload
 * @returns undefined where the file is missing or damaged: nobody can go on with it then
 */
export async function readUpload(folder: string): Promise<Upload | undefined> {
  const text = await readSmallFile(join(folder, 'upload'), maxSize);
  return text === undefined ? undefined : parse(text);
}

function parse(text: string): Upload | undefined {
  try {
    const upload = JSON.parse(text) as Upload;
    const isWhole = typeof upload.key === 'string' && !Number.isNaN(Date.parse(upload.started));
    return isWhole ? upload : undefined;
  } catch {
    return undefined;
  }
}
