import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { unsignedManifestType } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { anything, type Accept } from '../../protocol/negotiation.ts';
import type { Reference } from '../../protocol/references.ts';
import { signedManifestType } from '../../protocol/schema1.ts';
import type { Tag } from '../../protocol/tags.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { ExpiringCache } from '../expiring-cache.ts';
import type { FoundManifest, RegistryReader } from '../interface.ts';
import { blobData, revisionLink } from '../layout.ts';
import { exists, undefinedIfDamaged } from '../links.ts';
import type { Tags } from '../tags.ts';
import { loadManifest, StoredManifest, type ManifestCache } from './cache.ts';
import { readSigned } from './schema1-signatures.ts';

/** Concurrent reads of manifests, whose size is not known beforehand. */
const parallelLoads = 32;

/** Reads the manifests of repositories, by tag and digest. */
export class ManifestReader implements Pick<RegistryReader['manifests'], 'get' | 'has'> {
  readonly #store: ObjectStore;
  readonly #tags: Tags;
  readonly #cache: ManifestCache;
  /** Concurrent requests for one manifest share a read: it may have megabytes. */
  readonly #reads = new SingleFlight<Digest, StoredManifest | undefined>();
  readonly #loads = new ConcurrencyLimit(parallelLoads);
  /** What tags pointed at last. Only a guess: their links are always read. */
  readonly #lastTagged = new ExpiringCache<string, Digest>({ ttlMs: 3_600_000, maxSize: 4096 });

  constructor(store: ObjectStore, tags: Tags, cache: ManifestCache) {
    this.#store = store;
    this.#tags = tags;
    this.#cache = cache;
  }

  async get(name: RepositoryName, reference: Reference, accept = anything): Promise<FoundManifest> {
    if (reference.kind === 'tag') return await this.#getTagged(name, reference.tag, accept);
    const found = await this.#find(name, reference.digest);
    if (found === undefined) throw unknownManifest(reference);
    return found;
  }

  async has(name: RepositoryName, digest: Digest): Promise<boolean> {
    return await exists(this.#store, revisionLink(name, digest));
  }

  /** The bytes of a manifest in any repository; undefined if they are gone or damaged. */
  async bytes(digest: Digest): Promise<Buffer | undefined> {
    return (await undefinedIfDamaged(this.#store, blobData(digest), this.#stored(digest)))?.bytes;
  }

  async #getTagged(name: RepositoryName, tag: Tag, accept: Accept): Promise<FoundManifest> {
    const key = `${name}:${tag}`;
    const guess = this.#lastTagged.get(key);
    // At once, so that the two requests are not in a row.
    const guessed = guess === undefined ? undefined : this.has(name, guess).catch(() => false);
    const digest = (await this.#tags.resolve(name, tag))?.digest;
    if (digest === undefined) throw unknownManifest({ kind: 'tag', tag });
    if (digest !== guess) this.#lastTagged.set(key, digest);
    const found = await this.#find(name, digest, digest === guess ? guessed : undefined);
    if (found === undefined) throw unknownManifest({ kind: 'digest', digest });
    return accept.accepts(found.info.mediaType) ? found : await this.#negotiate(name, found, accept);
  }

  /** The default image of an index that the client does not accept, or what was found. */
  async #negotiate(name: RepositoryName, found: FoundManifest, accept: Accept): Promise<FoundManifest> {
    const child = (await this.#stored(found.info.digest))?.defaultChild;
    if (child === undefined) return found;
    const image = await this.#find(name, child);
    return image !== undefined && accept.names(image.info.mediaType) ? image : found;
  }

  /**
   * @param guessed whether the repository had it before it was known to be asked for. If not, it is asked again: a push may
   *   have added it before it moved the tag.
   */
  async #find(
    name: RepositoryName,
    digest: Digest,
    guessed?: Promise<boolean>,
  ): Promise<FoundManifest | undefined> {
    const isLinked = async () => ((await guessed) ?? false) || (await this.has(name, digest));
    const [linked, stored] = await Promise.all([isLinked(), this.#stored(digest)]);
    if (!linked || stored === undefined) return undefined;
    const { bytes, mediaType } = stored;
    const signed =
      mediaType === unsignedManifestType ? await readSigned(this.#store, name, digest, bytes) : undefined;
    return signed === undefined
      ? { info: { digest, mediaType, size: bytes.byteLength }, bytes }
      : { info: { digest, mediaType: signedManifestType, size: signed.byteLength }, bytes: signed };
  }

  async #stored(digest: Digest): Promise<StoredManifest | undefined> {
    const load = async () => await this.#loads.run(async () => await this.#load(digest));
    return this.#cache.get(digest) ?? (await this.#reads.run(digest, load));
  }

  async #load(digest: Digest): Promise<StoredManifest | undefined> {
    const bytes = await loadManifest(this.#store, digest);
    if (bytes === undefined) return undefined;
    const stored = new StoredManifest(bytes);
    this.#cache.set(digest, stored);
    return stored;
  }
}

export function unknownManifest(reference: Reference): RegistryError {
  const detail = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new RegistryError('MANIFEST_UNKNOWN', undefined, [detail]);
}
