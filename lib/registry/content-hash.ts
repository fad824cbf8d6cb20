import { createHash } from 'node:crypto';
import { createSHA256, type IHasher } from 'hash-wasm';
import { sha256Digest, type Digest } from '../protocol/digests.ts';

/**
 * How far a digest has been computed.
 * - `resumable`: any process can go on from here
 * - `final`: the digest of all bytes so far, from which nothing can go on
 */
export type HashState =
  | { readonly kind: 'resumable'; readonly state: string }
  | { readonly kind: 'final'; readonly digest: Digest };

/** Computes a blob's digest while its bytes pass. */
export interface ContentHash {
  update(bytes: Uint8Array): void;
  /** Of the bytes so far. More may follow. */
  digest(): Digest;
  state(): HashState;
}

/** Several times as fast as the other, for bytes that all come in one request. */
export function streamHash(): ContentHash {
  const hash = createHash('sha256');
  const digest = () => sha256Digest(hash.copy().digest('hex'));
  return {
    update: (bytes) => void hash.update(bytes),
    digest,
    state: () => ({ kind: 'final', digest: digest() }),
  };
}

/**
 * For an upload in chunks: goes on where another process stopped.
 * @param saved a state of kind `resumable`; without it, from the beginning
 */
export async function resumableHash(saved?: string): Promise<ContentHash> {
  const hash = await createSHA256();
  if (saved === undefined) hash.init();
  else hash.load(Buffer.from(saved, 'base64'));
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => digestSoFar(hash),
    state: () => ({ kind: 'resumable', state: Buffer.from(hash.save()).toString('base64') }),
  };
}

/** Finishing ends this library's hasher, so it is put back to where it was. */
function digestSoFar(hash: IHasher): Digest {
  const saved = hash.save();
  const hex = hash.digest('hex');
  hash.load(saved);
  return sha256Digest(hex);
}
