import { randomBytes } from 'node:crypto';
import { descriptor, digestOf, imageType, manifest, type Client } from '../../functions/client.ts';
import type { Answer, BucketRequest } from '../../servers/bucket-proxy.ts';
import type { FunctionName } from '../../../infra/gateway.ts';

/** A deployed registry whose functions are tried one by one. */
export interface Site {
  /** The functions, through the gateway. */
  readonly client: Client;
  /** A whole registry on the same bucket, with all rights: it prepares and looks, so that only one function is at work. */
  readonly direct: Client;
  readonly bucket: RawBucket;
  /** Runs a function that is a job. Rejects where it fails. */
  invoke(job: FunctionName): Promise<void>;
  /** Called before each request to the bucket, which gets the first answer that one of them gives. */
  readonly beforeRequests: Set<(request: BucketRequest) => Promise<Answer | undefined>>;
  /** Milliseconds by which the functions take all in the bucket for older than it is. */
  agedMs: number;
}

/** The bucket with all rights. */
export interface RawBucket {
  put(key: string, body: string | Buffer): Promise<void>;
  delete(key: string): Promise<void>;
  keys(prefix: string): Promise<string[]>;
  startMultipart(key: string): Promise<void>;
  /** Keys of multipart uploads that are neither complete nor aborted. */
  multiparts(): Promise<string[]>;
}

/** Tries one thing that a function does. Rejects where it does not do it. */
export type Operation = (site: Site) => Promise<void>;

/** By what they do, those first that need most rights. */
export type Operations = Readonly<Record<string, Operation>>;

export interface Image {
  readonly name: string;
  readonly bytes: Buffer;
  readonly digest: string;
  readonly layer: Buffer;
}

/** An image in no repository yet whose config and layers are. @param more fields of its manifest */
export async function newImage(
  { direct }: Site,
  name: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Image> {
  const [config, layer] = [randomBytes(40), randomBytes(50)];
  await direct.pushBlob(name, config);
  await direct.pushBlob(name, layer);
  const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)], ...more });
  return { name, bytes, digest: digestOf(bytes), layer };
}

/** An image that is pushed with tags, or without. */
export async function storedImage(
  site: Site,
  name: string,
  tags: readonly string[],
  more?: Readonly<Record<string, unknown>>,
): Promise<Image> {
  const image = await newImage(site, name, more);
  for (const reference of tags.length === 0 ? [image.digest] : tags)
    await site.direct.pushManifest(name, reference, image.bytes);
  return image;
}

/** What a manifest has to refer to another. */
export function subject({ bytes }: Image): { readonly subject: Record<string, unknown> } {
  return { subject: descriptor(bytes, imageType) };
}
