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

/*
 * A registry as those see it who use one: without HTTP, and without a particular store. Each role is an interface of its
 * own, so that a user asks for no more than it needs and a wrapper can stand in for any of them. Besides the errors that the
 * methods name, each may fail with StoreUnavailable, and with RegistryError BUSY where it waits for memory.
 */

/** What a method does to a registry. */
export type Role = 'read' | 'list' | 'write' | 'delete' | 'repair';

export interface BlobInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface FoundManifest {
  readonly info: ManifestInfo;
  readonly bytes: Buffer;
}

/** Gives out what is in repositories. */
export interface RegistryReader {
  readonly blobs: {
    /** @throws RegistryError BLOB_UNKNOWN */
    stat(name: RepositoryName, digest: Digest): Promise<BlobInfo>;

    /** Whether a repository has the blob. */
    has(name: RepositoryName, digest: Digest): Promise<boolean>;

    /**
     * Where else the bytes can be had, or undefined when the store gives no URLs.
     * @param blob the caller has seen that it is the repository's
     */
    url(name: RepositoryName, blob: BlobInfo): Promise<URL | undefined>;

    /**
     * The bytes.
     * @param blob the caller has seen that it is the repository's
     * @param range within the blob
     * @throws RegistryError BLOB_UNKNOWN
     */
    open(name: RepositoryName, blob: BlobInfo, range?: ByteRange): Promise<Readable>;
  };

  readonly manifests: {
    /**
     * The bytes as they were pushed (end-3); but of an index, by its tag, the image for linux/amd64 to a client that takes images
     * and no such index, as the registries before this one gave it (content-negotiation.md of the spec).
     * @throws RegistryError MANIFEST_UNKNOWN, and UNKNOWN where its bytes are damaged: it is there, and who mirrors this
     *   repository is not to take it for deleted
     */
    get(name: RepositoryName, reference: Reference, accept?: Accept): Promise<FoundManifest>;

    /** Whether a repository has the manifest. */
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
}

export interface ReferrersPage {
  readonly descriptors: readonly ReferrerDescriptor[];
  /** After which entry the next page begins; undefined when there is none. */
  readonly next: Digest | undefined;
}

/** Tells what there is. */
export interface RegistryLister {
  readonly tags: {
    /**
     * A page of a repository's tags (end-8).
     * @throws RegistryError NAME_UNKNOWN when there is no such repository, TAG_INVALID when `last` is no tag
     */
    list(name: RepositoryName, page: Page): Promise<NamePage>;
  };

  readonly referrers: {
    /**
     * A page of the referrers of a manifest, which need not exist, in the order of their digests (end-12). None is an empty page
     * and no error.
     * @param page `last` is a digest
     * @param artifactType which all on the page have, if given
     * @returns perhaps fewer than `n`, or none, and yet a next page: the work is bounded
     */
    list(
      name: RepositoryName,
      subject: Digest,
      page: { readonly n: Page['n']; readonly last: Digest | undefined },
      artifactType: string | undefined,
    ): Promise<ReferrersPage>;
  };

  readonly catalog: {
    /** A page of repositories. @throws RegistryError NAME_INVALID when `last` is no name */
    list(page: Page): Promise<NamePage>;

    /** Every repository, page by page. @throws the signal's reason once it is aborted */
    all(signal?: AbortSignal): AsyncGenerator<RepositoryName, void>;

    /** Whether anything is in a repository; so it is taken to be where that cannot be read. */
    has(name: RepositoryName): Promise<boolean>;
  };
}

/** Bytes of a request that belong to a blob. */
export interface Chunk {
  readonly body: AsyncIterable<Uint8Array>;
  /** Where in the blob they start. */
  readonly start: number;
  /** How many there must be, if the request said so. */
  readonly length: number | undefined;
  /** Whether the client sends the blob in several requests, so that another process must be able to go on. */
  readonly partial: boolean;
}

/** The chunk does not start where the upload stands. Nothing was changed. */
export class OffsetMismatch extends RegistryError {
  /** Bytes the upload has. */
  readonly offset: number;
  constructor(offset: number) {
    super('RANGE_INVALID', `the upload has ${offset} bytes; the next chunk must start at ${offset}`);
    this.offset = offset;
  }
}

export interface PushOptions {
  /** Tags that are to point at a manifest which is pushed by its digest (end-7b). */
  readonly tags?: readonly Tag[];
  /** On what is there under the reference. */
  readonly conditions?: Conditions;
}

/** A blob that was taken over. */
export interface MountedBlob extends BlobInfo {
  /** Undefined where the repository had it before. */
  readonly from: RepositoryName | undefined;
}

export interface PushedManifest {
  readonly info: ManifestInfo;
  readonly manifest: Manifest;
  /** Those that point at it now, by this push. */
  readonly tags: readonly Tag[];
}

/** Takes content in. */
export interface RegistryWriter {
  readonly blobs: {
    /**
     * Takes a blob over from another repository (end-11).
     * @returns undefined where that does not have it
     */
    mount(name: RepositoryName, digest: Digest, from: RepositoryName): Promise<MountedBlob | undefined>;

    /**
     * Takes a blob over from whichever repository has it, where one is known: that its bytes are in the bucket proves nothing
     * (CVE-2024-39897).
     * @returns undefined where none is known to have it
     */
    mountFromAnywhere(name: RepositoryName, digest: Digest): Promise<MountedBlob | undefined>;
  };

  readonly uploads: {
    /**
     * Begins an upload and returns its id (end-4a).
     * @param algorithm that the client will finish it in (end-4c): in another one, its bytes must be read once more
     */
    start(name: RepositoryName, algorithm?: Algorithm): Promise<string>;

    /**
     * Takes a chunk (end-5) and returns the bytes received so far.
     * @throws OffsetMismatch when the chunk starts elsewhere
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN, SIZE_INVALID
     */
    append(name: RepositoryName, id: string, chunk: Chunk): Promise<number>;

    /**
     * Finishes an upload (end-6): the blob is there, and linked to the repository, when this resolves. May be repeated
     * after a lost answer.
     * @param last the bytes that came with the request, if any. Some that start at 0 are the whole blob: they replace what
     *   an attempt before left, since containerd repeats a PUT at the same Location after 408, 429 and 5xx.
     * @throws OffsetMismatch when the last bytes start elsewhere
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN, BLOB_UPLOAD_INVALID, SIZE_INVALID, DIGEST_INVALID, and UNAVAILABLE while
     *   another request is finishing it
     */
    finish(name: RepositoryName, id: string, digest: Digest, last: Chunk | undefined): Promise<BlobInfo>;

    /**
     * Takes a whole blob in one request (end-4b).
     * @throws RegistryError SIZE_INVALID, DIGEST_INVALID, and UNAVAILABLE where the store has lost the bytes
     */
    put(name: RepositoryName, digest: Digest, blob: Omit<Chunk, 'start' | 'partial'>): Promise<BlobInfo>;

    /**
     * Throws an upload away (end-14).
     * @throws RegistryError BLOB_UPLOAD_UNKNOWN
     */
    cancel(name: RepositoryName, id: string): Promise<void>;
  };

  readonly manifests: {
    /**
     * Stores a manifest and moves tags to it (end-7).
     * @param contentType as sent, if any
     * @throws RegistryError MANIFEST_INVALID, MANIFEST_TOO_LARGE, DIGEST_INVALID, PRECONDITION_FAILED, and
     *   MANIFEST_BLOB_UNKNOWN with an entry for each digest that is not in the repository
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

/** Removes content from repositories. Bytes stay: others may have them. */
export interface RegistryDeleter {
  readonly blobs: {
    /**
     * Removes a blob from a repository (end-10).
     * @param conditions on the blob
     * @throws RegistryError BLOB_UNKNOWN, PRECONDITION_FAILED
     */
    delete(name: RepositoryName, digest: Digest, conditions?: Conditions): Promise<void>;
  };

  readonly manifests: {
    /**
     * Removes a tag, or a manifest with all tags that point at it (end-9).
     * @param conditions on what is there under the reference, looked at just before: few stores delete on a condition
     * @throws RegistryError MANIFEST_UNKNOWN, PRECONDITION_FAILED
     */
    delete(name: RepositoryName, reference: Reference, conditions?: Conditions): Promise<void>;
  };
}

/** What a repair of a repository's referrers has changed. */
export interface Repaired {
  readonly added: number;
  readonly removed: number;
}

/** Puts right what others have left behind in the storage. */
export interface RegistryRepairer {
  readonly referrers: {
    /**
     * Puts a repository's index right: adds manifests that others have pushed since they were last looked for, and takes away
     * entries whose manifests are gone. Does nothing where nobody has asked yet, as the first query does it then; a first scan
     * that was cut off begins anew.
     * @param full whether all manifests are read again
     * @returns undefined where there is no index
     * @throws RegistryError UNKNOWN where what it reads is damaged
     */
    repair(name: RepositoryName, full?: boolean): Promise<Repaired | undefined>;
  };
}

/** What a wrapper refuses, whoever asks and whatever for. */
export interface Refusal {
  readonly roles: readonly Role[];
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
     * Known beforehand, so that a client is refused before it has sent a body. The methods themselves fail with RegistryError
     * UNSUPPORTED.
     */
    readonly refusal?: Refusal | undefined;
  };

/** What a registry consists of. */
export type Part = Exclude<keyof Registry, 'refusal'>;

/**
 * Every method of a registry, with its role: all that a wrapper passes on. The compiler asks for a new method here; what is
 * not here has no way through a wrapper.
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
  // Who may send an upload may also give it up.
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
