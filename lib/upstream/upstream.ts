import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { ByteRange } from '../storage/store.ts';

/** A manifest as another registry describes it. */
export interface UpstreamManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface UpstreamBlob {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** Not verified. The caller reads it to its end or destroys it. */
  readonly body: Readable;
}

/** What is asked of another registry, for a cache or a copy. Every method may throw {@link UpstreamError}. */
export interface Upstream {
  /** Its host, for messages. */
  readonly host: string;

  /** What a reference is now, by HEAD. */
  resolve(name: RepositoryName, reference: Reference): Promise<UpstreamManifest>;

  /** The bytes of a manifest, which have the digest. */
  manifest(name: RepositoryName, digest: Digest): Promise<UpstreamManifest & { readonly bytes: Buffer }>;

  /** Redirects are followed, without credentials. */
  blob(name: RepositoryName, digest: Digest, range?: ByteRange): Promise<UpstreamBlob>;

  /** Where the upstream redirects to for the bytes of a blob: a URL that needs no credentials; undefined if it sends them itself. */
  blobLocation(name: RepositoryName, digest: Digest): Promise<URL | undefined>;
}

/** Another registry did not give what it was asked for. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  /**
   * - `unknown`: 404
   * - `denied`: 401 or 403, also of its token service
   * - `limited`: 429
   * - `unavailable`: no connection, a timeout, 5xx, an answer that is none of a registry
   */
  readonly kind: 'unknown' | 'denied' | 'limited' | 'unavailable';
  /** Milliseconds after which it may be asked again, if it says so. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: UpstreamError['kind'],
    message: string,
    { retryAfterMs, cause }: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}
