import { createHash } from 'node:crypto';
import { createSHA256, createSHA512, type IHasher } from 'hash-wasm';
import {
  canonicalAlgorithm,
  digestFrom,
  digestParts,
  type Algorithm,
  type Digest,
} from '../../protocol/digests.ts';

/**
 * The saved state of a digest.
 * - `resumable`: any process can continue from it. Without an algorithm it is SHA-256, once the only one.
 * - `final`: the digest of all bytes so far; it cannot be continued
 */
export type HashState =
  | { readonly kind: 'resumable'; readonly algorithm?: Algorithm; readonly state: string }
  | { readonly kind: 'final'; readonly digest: Digest };

/** Computes a digest incrementally. */
export interface ContentHash {
  update(bytes: Uint8Array): void;
  /** Of the bytes so far; more may follow. */
  digest(): Digest;
  state(): HashState;
}

/** One that can be continued twice from the same bytes. */
export interface CopyableHash extends ContentHash {
  copy(): CopyableHash;
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = canonicalAlgorithm): Digest {
  return digestFrom(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

/** The algorithm of a state. */
export function algorithmOf(state: HashState): Algorithm {
  return state.kind === 'final'
    ? digestParts(state.digest).algorithm
    : (state.algorithm ?? canonicalAlgorithm);
}

/**
 * Cannot be resumed by another process, but is six times as fast.
 * @param hash to continue from
 */
export function streamHash(
  algorithm: Algorithm = canonicalAlgorithm,
  hash = createHash(algorithm),
): CopyableHash {
  const digest = () => digestFrom(algorithm, hash.copy().digest('hex'));
  return {
    update: (bytes) => void hash.update(bytes),
    digest,
    state: () => ({ kind: 'final', digest: digest() }),
    copy: () => streamHash(algorithm, hash.copy()),
  };
}

const hashers: Readonly<Record<Algorithm, () => Promise<IHasher>>> = {
  sha256: createSHA256,
  sha512: createSHA512,
};

/**
 * For uploads in several requests: another process can continue.
 * @param saved the `resumable` state to continue from, of the same algorithm
 */
export async function resumableHash(
  algorithm: Algorithm = canonicalAlgorithm,
  saved?: string,
): Promise<ContentHash> {
  const hash = await hashers[algorithm]();
  if (saved === undefined) hash.init();
  else hash.load(Buffer.from(saved, 'base64'));
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => {
      // Finishing ends this library's hasher, so its state is restored.
      const state = hash.save();
      const hex = hash.digest('hex');
      hash.load(state);
      return digestFrom(algorithm, hex);
    },
    state: () => ({ kind: 'resumable', algorithm, state: Buffer.from(hash.save()).toString('base64') }),
  };
}
