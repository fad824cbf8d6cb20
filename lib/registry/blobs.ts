import type { Readable } from 'node:stream';
import { assertConditions, unconditional } from '../protocol/conditions.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import {
  ObjectNotFound,
  type ByteRange,
  type HeadOptions,
  type NewObject,
  type ObjectHead,
  type ObjectStore,
} from '../storage/store.ts';
import { blobUrlLifetimeSeconds } from './url-signer.ts';
import { blobData, layerLink } from './layout.ts';
import type { ImmutableImages } from './immutable-images.ts';
import type {
  BlobInfo,
  DeleteOptions,
  MountedBlob,
  RegistryDeleter,
  RegistryReader,
  RegistryWriter,
  StatOptions,
} from './interface.ts';
import { KnownBlobs } from './known-blobs.ts';
import { exists, linkObject, undefinedIfMissing, writeLink } from './links.ts';
import type { MountHints } from './mount-hints.ts';
import { putInOrder } from './put-objects.ts';

type Roles = RegistryReader['blobs'] & RegistryWriter['blobs'] & RegistryDeleter['blobs'];

/**
 * The blobs of repositories. All repositories share the bytes. A blob belongs to a repository if the repository has a
 * link to it; without one it is unknown there.
 */
export class Blobs implements Roles {
  readonly #store: ObjectStore;
  readonly #mountHints: MountHints;
  readonly #immutableImages: ImmutableImages;
  readonly #known: KnownBlobs;

  constructor(
    store: ObjectStore,
    mountHints: MountHints,
    immutableImages: ImmutableImages,
    known = new KnownBlobs(),
  ) {
    this.#store = store;
    this.#immutableImages = immutableImages;
    this.#mountHints = mountHints;
    this.#known = known;
  }

  async stat(name: RepositoryName, digest: Digest, options: StatOptions = {}): Promise<BlobInfo> {
    const blob = await this.find(name, digest, options);
    if (blob === undefined) throw unknown(digest);
    return blob;
  }

  /** As {@link stat}, but undefined if the repository does not have the blob. */
  async find(
    name: RepositoryName,
    digest: Digest,
    { isExpected = true }: StatOptions = {},
  ): Promise<BlobInfo | undefined> {
    const known = this.#known.size(digest);
    const linked = exists(this.#store, layerLink(name, digest));
    // At once, unless that would often be for nothing.
    const sized = known ?? (isExpected ? this.#size(digest) : undefined);
    const [isLinked, atOnce] = await Promise.all([linked, sized]);
    if (!isLinked) return undefined;
    // Both are needed: distribution's garbage collection removes bytes and leaves links.
    const size = atOnce ?? (isExpected ? undefined : await this.#size(digest));
    return size === undefined ? undefined : { digest, size };
  }

  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    return (await this.find(name, digest)) !== undefined;
  }

  async url(_name: RepositoryName, { digest }: BlobInfo): Promise<URL | undefined> {
    return await this.#store.signedUrl(blobData(digest), blobUrlLifetimeSeconds);
  }

  async open(
    _name: RepositoryName,
    { digest, size }: BlobInfo,
    range?: ByteRange,
  ): Promise<Readable | Buffer> {
    try {
      const object = await this.#store.open(blobData(digest), range, size);
      if (object.bytes === undefined) return object.body;
      if (object.size === size) return object.bytes;
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
      this.#known.forget(digest);
      throw unknown(digest);
    }
    // The answer would have a length that is not that of its body.
    this.#known.forget(digest);
    throw new RegistryError('UNAVAILABLE', 'the bytes of the blob have changed meanwhile; try again');
  }

  /** Adds a blob to a repository that has sent its bytes, which are in the bucket now. */
  async add(name: RepositoryName, { digest, size }: BlobInfo): Promise<void> {
    this.saw({ digest, size });
    await this.#link(name, digest);
  }

  /** As {@link add}, for a blob whose bytes are not in the bucket yet. */
  async put(name: RepositoryName, digest: Digest, bytes: Uint8Array): Promise<void> {
    const data = { key: blobData(digest), bytes, metadata: this.mountHint(name) };
    await putInOrder(this.#store, [data, this.link(name, digest)]);
    this.saw({ digest, size: bytes.byteLength });
  }

  /** What makes a blob the repository's, to be written after its bytes. */
  link(name: RepositoryName, digest: Digest): NewObject {
    return linkObject(layerLink(name, digest), digest);
  }

  /** Notes that the bytes of a blob are in the bucket. */
  saw({ digest, size }: BlobInfo): void {
    this.#known.add(digest, size);
  }

  /** The caller has received its bytes or has verified access to them elsewhere. */
  async #link(name: RepositoryName, digest: Digest): Promise<void> {
    await writeLink(this.#store, layerLink(name, digest), digest);
  }

  async mount(name: RepositoryName, digest: Digest, from: RepositoryName): Promise<MountedBlob | undefined> {
    const blob = await this.find(from, digest);
    if (blob === undefined) return undefined;
    await this.#link(name, digest);
    return { ...blob, from };
  }

  async mountFromAnywhere(
    name: RepositoryName,
    digest: Digest,
    isSource: (from: RepositoryName) => boolean = () => true,
  ): Promise<MountedBlob | undefined> {
    const [isLinked, data] = await Promise.all([
      exists(this.#store, layerLink(name, digest)),
      // Not what is known of it: its metadata says where it came from.
      this.#head(digest, { metadata: true }),
    ]);
    if (data === undefined) return undefined;
    if (isLinked) return { digest, size: data.size, from: undefined };
    const from = this.#mountHints.read(data.metadata);
    return from === undefined || !isSource(from) ? undefined : await this.mount(name, digest, from);
  }

  /** Metadata for the object of a blob that is pushed to this repository. */
  mountHint(name: RepositoryName): Readonly<Record<string, string>> {
    return this.#mountHints.metadataFor(name);
  }

  async delete(
    name: RepositoryName,
    digest: Digest,
    { conditions = unconditional, immutable }: DeleteOptions = {},
  ): Promise<void> {
    const link = layerLink(name, digest);
    if (!(await exists(this.#store, link))) throw unknown(digest);
    assertConditions(conditions, digest);
    if (immutable !== undefined) await this.#immutableImages.assertUnneeded(name, digest, immutable);
    await this.#store.delete([link]);
  }

  /** The bytes of a blob, as the bucket says; undefined if it has none. */
  async #size(digest: Digest): Promise<number | undefined> {
    return (await this.#head(digest))?.size;
  }

  async #head(digest: Digest, options?: HeadOptions): Promise<ObjectHead | undefined> {
    const asked = this.#known.now();
    const data = await undefinedIfMissing(this.#store.head(blobData(digest), options));
    if (data === undefined) this.#known.forget(digest);
    else this.#known.add(digest, data.size, asked);
    return data;
  }
}

function unknown(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', undefined, [{ digest }]);
}
