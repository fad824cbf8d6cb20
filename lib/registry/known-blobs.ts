import type { Digest } from '../protocol/digests.ts';
import { ExpiringCache, type Clock, type Moment } from './expiring-cache.ts';

/**
 * How long a process relies on having seen the bytes of a blob in the bucket, in milliseconds.
 *
 * Only bytes are remembered, never the link of a repository: links are looked up in each request, so that a delete is seen at
 * once (CVE-2026-35172 in distribution). So a blob whose bytes are gone may be reported as present for this long, and only in
 * a repository that still has a link to it. A client may then not push it, and a manifest that needs it is accepted.
 *
 * A commit needs more than that (docs/garbage-collection.md): it must not rely on what was seen before its fence was opened, since
 * bytes may have gone since. So each sighting has the number of the view of collections that was the newest when the bucket was asked,
 * and counts only for requests with that view or an older one. Of what was seen under a view, nothing goes until the commits of that
 * view can land no more, unless a mark of the view lists it; and what is listed is looked at again.
 */
export const existenceTtlMs = 60_000;

/** Each takes some 300 bytes. */
const maxKnown = 10_000;

/** When the bytes of a blob were seen: taken before the bucket was asked. */
export interface Sighting {
  readonly at: Moment;
  /** The number of the newest view of collections at that time. */
  readonly view: number;
}

interface KnownBlob {
  readonly size: number;
  readonly view: number;
}

/** The blobs whose bytes this process has seen in the bucket in the last {@link existenceTtlMs}, and their sizes. */
export class KnownBlobs {
  readonly #blobs: ExpiringCache<Digest, KnownBlob>;

  constructor(clock?: Clock) {
    this.#blobs = new ExpiringCache({ ttlMs: existenceTtlMs, maxSize: maxKnown, ...(clock && { clock }) });
  }

  /** For {@link add}. @param view the number of the newest view of collections */
  now(view: number): Sighting {
    return { at: this.#blobs.now(), view };
  }

  /**
   * The bytes of a blob; undefined if it is not known whether they are in the bucket.
   * @param view the number of the view that the caller commits under; 0 for callers that commit nothing
   */
  size(digest: Digest, view: number): number | undefined {
    const known = this.#blobs.get(digest);
    return known !== undefined && known.view >= view ? known.size : undefined;
  }

  add(digest: Digest, size: number, { at, view }: Sighting): void {
    this.#blobs.set(digest, { size, view }, at);
  }

  /** For bytes that turn out to be missing. */
  forget(digest: Digest): void {
    this.#blobs.delete(digest);
  }
}
