import type { Readable } from 'node:stream';
import type { Conditions } from '../protocol/conditions.ts';
import type { Algorithm, Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { Manifest } from '../protocol/manifests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Accept } from '../protocol/negotiation.ts';
import type { Page } from '../protocol/pages.ts';
import type { Reference } from '../protocol/references.ts';
import type { ReferrerDescriptor } from '../protocol/referrers.ts';
import type { Tag } from '../protocol/tags.ts';
import type { ByteRange } from '../storage/store.ts';
import type { Announce } from './outbox/announcement.ts';

/*
 * The registry without HTTP and without a particular store. Each role is an interface, so that callers ask for no more than
 * they need and wrappers can replace any of them. In addition to the errors documented here, every method may throw
 * StoreUnavailable, and RegistryError BUSY if it waits for memory.
 */

/** What a method does to a registry. */
export type Role = 'read' | 'list' | 'write' | 'delete' | 'repair';

export interface BlobInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface StatOptions {
  /**
   * Whether the blob is probably there. Otherwise its bytes are looked up only when the repository has a link to it: fewer
   * requests if it has none, one more in a row if it has. Default: true.
   */
  readonly isExpected?: boolean;
  /**
   * Whether a blob that a garbage collection is going to delete, unless its link is newer, counts as missing, so that a client
   * that asks before a push uploads it. Default: false.
   */
  readonly hidesCondemned?: boolean;
  /** Whether the blob is pulled next, so that a cache may begin to copy it. Default: false. */
  readonly isPulled?: boolean;
}

export interface ManifestInfo extends BlobInfo {
  readonly mediaType: string;
}

export interface FoundManifest {
  readonly info: ManifestInfo;
  readonly bytes: Buffer;
  /** Whether the tag may have moved in the registry that this is a cache of, which could not be asked. */
  readonly isStale?: boolean;
}

/** Reads the content of repositories. */
export interface RegistryReader {
  readonly blobs: {
    /** @throws RegistryError BLOB_UNKNOWN */
    stat(name: RepositoryName, digest: Digest, options?: StatOptions): Promise<BlobInfo>;

    has(name: RepositoryName, digest: Digest): Promise<boolean>;

    /**
     * A URL for the bytes, or undefined if the store provides none.
     * @param blob the caller has verified that it belongs to the repository
     */
    url(name: RepositoryName, blob: BlobInfo): Promise<URL | undefined>;

    /**
     * The bytes; those of a small blob may be in memory.
     * @param blob the caller has verified that it belongs to the repository
     * @param range within the blob
     * @throws RegistryError BLOB_UNKNOWN
     */
    open(name: RepositoryName, blob: BlobInfo, range?: ByteRange): Promise<Readable | Buffer>;
  };

  readonly manifests: {
    /**
     * The bytes as they were pushed (end-3). For an index requested by tag, clients that accept images but not indexes get
     * its image for linux/amd64, as from earlier registries (content-negotiation.md of the spec).
     * @throws RegistryError MANIFEST_UNKNOWN; UNKNOWN if the bytes are damaged, so that mirrors do not take the manifest for
     *   deleted
     */
    get(name: RepositoryName, reference: Reference, accept?: Accept): Promise<FoundManifest>;

    has(name: RepositoryName, digest: Digest): Promise<boolean>;
  };

  readonly uploads: {
    /**
     * Bytes received so far (end-13).
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN
     */
    status(name: RepositoryName, id: string): Promise<number>;
  };
}

/** Names, in byte order. */
export interface NamePage {
  readonly names: readonly string[];
  /** Whether names follow the last of these. */
  readonly more: boolean;
  /** The `last` of the next page, if that is not the last of these names. */
  readonly next?: string | undefined;
  /** Whether the registry that this is a cache of could not be asked. */
  readonly isStale?: boolean;
}

export interface ReferrersPage {
  readonly descriptors: readonly ReferrerDescriptor[];
  /** The `last` of the next page; undefined if there is none. */
  readonly next: Digest | undefined;
  /** Whether the registry that this is a cache of could not be asked. */
  readonly isStale?: boolean;
}

/** Lists the content of the registry. */
export interface RegistryLister {
  readonly tags: {
    /**
     * A page of a repository's tags (end-8).
     * @throws RegistryError NAME_UNKNOWN, or TAG_INVALID if `last` is not a tag
     */
    list(name: RepositoryName, page: Page): Promise<NamePage>;
  };

  readonly referrers: {
    /**
     * A page of the referrers of a manifest, ordered by digest (end-12). The manifest need not exist; without referrers the
     * page is empty.
     * @param artifactType filters the page
     * @returns possibly fewer than `n`, or none, although more follow: the work of a request is bounded
     */
    list(
      name: RepositoryName,
      subject: Digest,
      page: { readonly n: Page['n']; readonly last: Digest | undefined },
      artifactType: string | undefined,
    ): Promise<ReferrersPage>;
  };

  readonly catalog: {
    /** A page of repositories. @throws RegistryError NAME_INVALID if `last` is not a name */
    list(page: Page): Promise<NamePage>;

    /** All repositories, page by page. @throws the signal's reason if it is aborted */
    all(signal?: AbortSignal): AsyncGenerator<RepositoryName, void>;

    /** Whether a repository has any content. One that cannot be read counts as present. */
    has(name: RepositoryName): Promise<boolean>;
  };
}

/** Bytes of a request that belong to a blob. */
export interface Chunk {
  /** Each piece is valid until the next is read. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Offset in the blob. */
  readonly start: number;
  /** The announced number of bytes, if any. */
  readonly length: number | undefined;
  /** Whether the client sends the blob in several requests, so that another process must be able to continue. */
  readonly partial: boolean;
}

/** The chunk does not start at the current offset. Nothing was changed. */
export class OffsetMismatch extends RegistryError {
  /** Bytes received so far. */
  readonly offset: number;
  constructor(offset: number) {
    super('RANGE_INVALID', `the upload has ${offset} bytes; the next chunk must start at ${offset}`);
    this.offset = offset;
  }
}

/**
 * The rule that keeps a tag of the repository where it is, or undefined where it may move and be deleted. A tag that does
 * not exist yet can be pushed all the same, and one that has the manifest already can be pushed again.
 */
export type Immutable = (tag: Tag) => string | undefined;

/** A push or delete would change an immutable tag. */
export class TagImmutable extends RegistryError {
  readonly tag: Tag;
  /** That keeps the tag, for the audit log. */
  readonly rule: string;
  constructor(tag: Tag, rule: string, what: string) {
    super('DENIED', `tag ${tag} is immutable: ${rule}; ${what}`, [{ tag }]);
    this.tag = tag;
    this.rule = rule;
  }
}

/** Of every method that changes what clients see. */
export interface AnnounceOptions {
  /** Announces the change before it can be seen. Without it, no endpoint is told. */
  readonly announce?: Announce | undefined;
}

export interface DeleteOptions extends AnnounceOptions {
  /** On what is there under the reference, looked at just before: few stores delete on a condition. */
  readonly conditions?: Conditions;
  readonly immutable?: Immutable;
}

export interface PushOptions extends AnnounceOptions {
  readonly immutable?: Immutable;
  /** Tags for a manifest that is pushed by digest (end-7b). */
  readonly tags?: readonly Tag[];
  /** On the current content of the reference. */
  readonly conditions?: Conditions;
  /** Who pushes it, for the history of its tags. */
  readonly pushedBy?: string | undefined;
  /** Whether what the manifest names may be missing: a cache gets each part when it is first pulled. Default: false. */
  readonly isPartial?: boolean;
}

export interface MountedBlob extends BlobInfo {
  /** Undefined if the repository already had it. */
  readonly from: RepositoryName | undefined;
}

export interface PushedManifest {
  readonly info: ManifestInfo;
  readonly manifest: Manifest;
  /** Tags that this push pointed at it. */
  readonly tags: readonly Tag[];
}

/** Adds content to repositories. */
export interface RegistryWriter {
  readonly blobs: {
    /**
     * Mounts a blob from another repository (end-11).
     * @returns undefined if that repository does not have it
     */
    mount(
      name: RepositoryName,
      digest: Digest,
      from: RepositoryName,
      options?: AnnounceOptions,
    ): Promise<MountedBlob | undefined>;

    /**
     * Mounts a blob from any repository known to have it. That its bytes are in the bucket proves nothing (CVE-2024-39897).
     * @param isSource whether it may be mounted from a repository
     * @returns undefined if none is known
     */
    mountFromAnywhere(
      name: RepositoryName,
      digest: Digest,
      isSource?: (from: RepositoryName) => boolean,
      options?: AnnounceOptions,
    ): Promise<MountedBlob | undefined>;
  };

  readonly uploads: {
    /**
     * Starts an upload and returns its ID (end-4a).
     * @param algorithm of the final digest (end-4c); if the client uses another one, the bytes must be read again
     */
    start(name: RepositoryName, algorithm?: Algorithm): Promise<string>;

    /**
     * Appends a chunk (end-5) and returns the bytes received so far.
     * @throws OffsetMismatch
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN, SIZE_INVALID
     */
    append(name: RepositoryName, id: string, chunk: Chunk): Promise<number>;

    /**
     * Finishes an upload (end-6): when this resolves, the blob exists and is linked to the repository. Idempotent, so that
     * clients can retry after a lost response.
     * @param last the bytes of this request, if any. If they start at 0, they are the whole blob and replace the bytes of an
     *   earlier attempt: containerd retries a PUT at the same Location after 408, 429 and 5xx.
     * @throws OffsetMismatch
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN, BLOB_UPLOAD_INVALID, SIZE_INVALID, DIGEST_INVALID, and UNAVAILABLE while
     *   another request is finishing it
     */
    finish(
      name: RepositoryName,
      id: string,
      digest: Digest,
      last: Chunk | undefined,
      options?: AnnounceOptions,
    ): Promise<BlobInfo>;

    /**
     * Uploads a whole blob in one request (end-4b).
     * @throws RegistryError SIZE_INVALID, DIGEST_INVALID, and UNAVAILABLE if the store lost the bytes
     */
    put(
      name: RepositoryName,
      digest: Digest,
      blob: Omit<Chunk, 'start' | 'partial'>,
      options?: AnnounceOptions,
    ): Promise<BlobInfo>;

    /**
     * Cancels an upload (end-14).
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN
     */
    cancel(name: RepositoryName, id: string): Promise<void>;
  };

  readonly manifests: {
    /**
     * Stores a manifest and points tags at it (end-7).
     * @param contentType as sent, if any
     * @throws RegistryError MANIFEST_INVALID, MANIFEST_TOO_LARGE, DIGEST_INVALID, PRECONDITION_FAILED, and MANIFEST_BLOB_UNKNOWN with an entry for each digest that the repository lacks
     * @throws TagImmutable if an immutable tag has another manifest, or a damaged link
     */
    put(
      name: RepositoryName,
      reference: Reference,
      bytes: Uint8Array,
      contentType: string | undefined,
      options?: PushOptions,
    ): Promise<PushedManifest>;
  };
}

/** Deletes content from repositories. The bytes stay: other repositories may have them. */
export interface RegistryDeleter {
  readonly blobs: {
    /**
     * Deletes a blob from a repository (end-10).
     * @throws RegistryError BLOB_UNKNOWN, PRECONDITION_FAILED; TagImmutable if an immutable tag needs it
     */
    delete(name: RepositoryName, digest: Digest, options?: DeleteOptions): Promise<void>;
  };

  readonly manifests: {
    /**
     * Deletes a tag, or a manifest and all tags that point at it (end-9).
     * @throws RegistryError MANIFEST_UNKNOWN, PRECONDITION_FAILED
     * @throws TagImmutable if a tag that would go is immutable; others may be gone if it was pushed meanwhile
     */
    delete(name: RepositoryName, reference: Reference, options?: DeleteOptions): Promise<void>;
  };
}

/** Changes that a repair made to an index of referrers. */
export interface Repaired {
  readonly added: number;
  readonly removed: number;
}

/** Repairs what other registries left inconsistent in the storage. */
export interface RegistryRepairer {
  readonly referrers: {
    /**
     * Repairs a repository's index of referrers: adds manifests that other registries have pushed since the last scan, and
     * removes entries whose manifests are gone. An interrupted first scan starts again. Without an index nothing is done:
     * the first query creates it.
     * @param full reads all manifests again
     * @returns undefined if there is no index
     * @throws RegistryError UNKNOWN if anything it reads is damaged
     */
    repair(name: RepositoryName, full?: boolean): Promise<Repaired | undefined>;
  };
}

/** What a wrapper always refuses: every role but those it allows. */
export interface Refusal {
  readonly allowed: readonly Role[];
  /** For clients. */
  readonly message: string;
}

/** A whole registry. */
export type Registry = RegistryReader &
  RegistryLister &
  RegistryWriter &
  RegistryDeleter &
  RegistryRepairer & {
    /**
     * Declared, so that a client is refused before it sends a body. The methods themselves throw RegistryError UNSUPPORTED.
     */
    readonly refusal?: Refusal | undefined;
  };

export type Part = Exclude<keyof Registry, 'refusal'>;

/**
 * Every method of a registry with its role. Wrappers pass on only these methods; the compiler requires an entry for each new
 * one.
 */
export const methodRoles = {
  blobs: {
    stat: 'read',
    has: 'read',
    url: 'read',
    open: 'read',
    mount: 'write',
    mountFromAnywhere: 'write',
    delete: 'delete',
  },
  manifests: { get: 'read', has: 'read', put: 'write', delete: 'delete' },
  // Whoever may write an upload may also cancel it.
  uploads: {
    status: 'read',
    start: 'write',
    append: 'write',
    finish: 'write',
    put: 'write',
    cancel: 'write',
  },
  tags: { list: 'list' },
  referrers: { list: 'list', repair: 'repair' },
  catalog: { list: 'list', all: 'list', has: 'list' },
} as const satisfies { readonly [P in Part]: Readonly<Record<keyof Registry[P], Role>> };
