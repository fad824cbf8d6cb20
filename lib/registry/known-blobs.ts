import type { Digest } from '../protocol/digests.ts';
import { ExpiringCache, type Clock, type Moment } from './expiring-cache.ts';

/**
 * How long a process relies on having seen the bytes of a blob in the bucket, in milliseconds.
 *
 * Only bytes are remembered, never the link of a repository: links are looked up in each request, so that a delete is seen at
 * once (CVE-2026-35172 in distribution). So a blob whose bytes are gone may be reported as present for this long, and only in
 * a repository that still has a link to it. A client may then not push it, and a manifest that needs it is accepted.
 *
 * This is safe while nothing deletes the bytes of blobs, as in this registry today. Whatever does must delete all links to a
 * blob first, and its bytes only when the links have been gone for longer than this and the longest request together: then
 * no request relies on bytes that are about to go.
 */
export const existenceTtlMs = 60_000;

/** Each takes some 300 bytes. */
const maxKnown = 10_000;

/** The blobs whose bytes this process has seen in the bucket in the last {@link existenceTtlMs}, and their sizes. */
export class KnownBlobs {
  readonly #sizes: ExpiringCache<Digest, number>;

  constructor(clock?: Clock) {
    this.#sizes = new ExpiringCache({ ttlMs: existenceTtlMs, maxSize: maxKnown, ...(clock && { clock }) });
  }

  /** For {@link add}, taken before the bucket is asked. */
  now(): Moment {
    return this.#sizes.now();
  }

  /** The bytes of a blob; undefined if it is not known whether they are in the bucket. */
  size(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }

  /** @param seen when its bytes were in the bucket */
  add(digest: Digest, size: number, seen = this.now()): void {
    this.#sizes.set(digest, size, seen);
  }

  /** For bytes that turn out to be missing. */
  forget(digest: Digest): void {
    this.#sizes.delete(digest);
  }
}
