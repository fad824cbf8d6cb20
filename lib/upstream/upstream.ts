import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { Reference } from '../protocol/references.ts';
import type { ReferrerDescriptor } from '../protocol/referrers.ts';
import type { Tag } from '../protocol/tags.ts';
import type { ByteRange } from '../storage/store.ts';

/** A manifest as another registry describes it. */
export interface UpstreamManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

/** A manifest with its bytes, which have the digest. */
export interface UpstreamManifestBytes extends UpstreamManifest {
  readonly bytes: Buffer;
}

export interface UpstreamBlob {
  /** Bytes of the whole blob. */
  readonly size: number;
  /**
   * Continues by ranges where a connection breaks, and ends early only with an UpstreamError. Not verified. The caller reads it to its
   * end or destroys it.
   */
  readonly body: Readable;
}

export interface UpstreamTags {
  readonly tags: readonly Tag[];
  readonly next: string | undefined;
}

export interface UpstreamBlobLocation {
  /** Bytes of the blob. */
  readonly size: number;
  /** What the upstream redirects to: a URL that needs no credentials; undefined if it sends the bytes itself. */
  readonly url: URL | undefined;
}

/** What is asked of another registry, for a cache or a copy. Every method may throw {@link UpstreamError}. */
export interface Upstream {
  /** Its host, for messages. */
  readonly host: string;

  /** Whether it answers at all, whatever it says. @throws UpstreamError unavailable, after a few seconds */
  ping(): Promise<void>;

  /** What a reference is now, by HEAD. */
  resolve(name: RepositoryName, reference: Reference): Promise<UpstreamManifest>;

  /** The bytes of a manifest. */
  manifest(name: RepositoryName, digest: Digest): Promise<UpstreamManifestBytes>;

  /** Redirects are followed, without credentials. */
  blob(name: RepositoryName, digest: Digest, range?: ByteRange): Promise<UpstreamBlob>;

  /** A page of a repository's tags (end-8), and the `last` of the next one; undefined if there is none. */
  tagPage(name: RepositoryName, page: Page): Promise<UpstreamTags>;

  /** The entries of {@link UpstreamLister.referrers}. None if the repository or the manifest is unknown. */
  referrerEntries(name: RepositoryName, subject: Digest): Promise<readonly ReferrerDescriptor[]>;

  /** Where the bytes of a blob are. A redirect was followed as one for them is, so that its target was checked. */
  blobLocation(name: RepositoryName, digest: Digest): Promise<UpstreamBlobLocation>;
}

/** What copies ask besides. */
export interface UpstreamLister {
  /** All tags, page by page. */
  tags(name: RepositoryName): AsyncGenerator<Tag, void>;

  /**
   * The manifests whose subject is another one: of the referrers API, or where there is none, of the tag schema.
   * @param tags all that the repository has, if they are known, so that none is asked for in vain
   */
  referrers(name: RepositoryName, subject: Digest, tags?: ReadonlySet<Tag>): Promise<readonly Digest[]>;
}

/** Another registry did not give what it was asked for. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  /**
   * - `unknown`: 404 or another 4xx, or a manifest that cannot be stored here, which no repetition changes
   * - `denied`: 401 or 403, or any such answer of its token service
   * - `limited`: 429
   * - `unavailable`: no connection, a timeout, 408, 5xx, an answer that is none of a registry
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
