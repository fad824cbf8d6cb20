import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { readNeeds } from '../../protocol/manifest-needs.ts';
import { blobData } from '../../registry/layout.ts';
import { isDamage, readLink, showsDigest } from '../../registry/links.ts';
import { loadManifest } from '../../registry/manifests/cache.ts';
import { ObjectUnreadable, type ObjectStore } from '../../storage/store.ts';
import type { Knowledge } from './known-references.ts';
import { has, type ListedRepository, type ListedTag } from './listed-repository.ts';
import type { References } from './packs.ts';

/** Concurrent reads of manifests and links. */
const parallelReads = 16;

/** What a manifest names, by numbers of digests. */
export interface NumberedReferences {
  readonly names: Uint32Array;
  readonly subject: number | undefined;
}

/** What the manifests and tags of a repository name. */
export interface NamedManifests {
  /** By number of the manifest. */
  readonly manifests: ReadonlyMap<number, NumberedReferences>;
  /** The manifests that tags with a link point at. */
  readonly tags: ReadonlyMap<ListedTag, number>;
  /** What could not be read, as messages; without them, the rest is complete. */
  readonly damage: readonly string[];
}

/**
 * Reads what the manifests of a repository name, and what its tags point at, unless that is known.
 * @param knowledge empty; gets all that is known then
 * @param rest is asked whenever something was learnt
 * @returns undefined if it was told to stop
 */
export async function readNamed(
  store: ObjectStore,
  repository: ListedRepository,
  known: Knowledge,
  knowledge: Knowledge,
  rest: () => 'go on' | Promise<'go on' | 'stop'>,
): Promise<NamedManifests | undefined> {
  const reader = new Reader(store, repository, known, knowledge);
  await reader.readTags();
  for await (const isNew of reader.readManifests()) if (isNew && (await rest()) === 'stop') return undefined;
  return reader;
}

class Reader implements NamedManifests {
  readonly manifests = new Map<number, NumberedReferences>();
  readonly tags = new Map<ListedTag, number>();
  readonly damage: string[];
  readonly knowledge: Knowledge;
  readonly #store: ObjectStore;
  readonly #repository: ListedRepository;
  readonly #known: Knowledge;

  constructor(store: ObjectStore, repository: ListedRepository, known: Knowledge, knowledge: Knowledge) {
    this.#store = store;
    this.#repository = repository;
    this.#known = known;
    this.knowledge = knowledge;
    const { unknown } = repository;
    this.damage = unknown === undefined ? [] : [`${unknown} is not understood`];
  }

  async readTags(): Promise<void> {
    const tags = this.#repository.tags.filter((tag) => !this.#pointTag(tag));
    const read = await inParallel(tags, parallelReads, async (tag) => await this.#readTag(tag));
    tags.forEach((tag, i) => {
      const digest = read[i];
      if (digest === undefined) return;
      this.knowledge.tags.set(tag.tag, { etag: tag.link?.etag ?? '', digest });
      this.tags.set(tag, this.#repository.digests.add(digest));
    });
  }

  /** @returns whether something was learnt, for some manifests after others */
  async *readManifests(): AsyncGenerator<boolean, void> {
    const { digests, flags } = this.#repository;
    const linked: number[] = [];
    for (let number = 0; number < digests.size; number++)
      if (flags.has(number, has.revision)) linked.push(number);
    // A tag is served only with the link of its manifest, but a push may be about to write that again.
    const tagged = [...new Set(this.tags.values())].filter((number) => !flags.has(number, has.revision));
    for (let at = 0; at < linked.length; at += parallelReads)
      yield await this.#readSome(linked.slice(at, at + parallelReads), true);
    await this.#readSome(tagged, false);
  }

  /**
   * Saves reading most links, whose ETag shows what they hold.
   * @returns whether nothing need be read
   */
  #pointTag(tag: ListedTag): boolean {
    if (tag.link === undefined) return true;
    const { link } = tag;
    const { digests } = this.#repository;
    const known = this.#known.tags.get(tag.tag);
    const listed = tag.history.find(({ manifest }) => showsDigest(link, digests.get(manifest)))?.manifest;
    if (listed === undefined && known?.etag !== link.etag) return false;
    if (listed === undefined && known !== undefined) this.knowledge.tags.set(tag.tag, known);
    const target = listed ?? (known && digests.add(known.digest));
    if (target !== undefined) this.tags.set(tag, target);
    return true;
  }

  /** @returns undefined for a tag that is gone, or damaged */
  async #readTag({ tag, link }: ListedTag): Promise<Digest | undefined> {
    return await this.#orDamage(`the tag ${tag}`, async () => {
      return (await readLink(this.#store, link?.key ?? ''))?.digest;
    });
  }

  /**
   * @param isLinked whether the manifests must be there
   * @returns whether something was learnt
   */
  async #readSome(numbers: readonly number[], isLinked: boolean): Promise<boolean> {
    const { digests } = this.#repository;
    let isNew = false;
    const read = await inParallel(
      numbers.map((number) => digests.get(number)),
      parallelReads,
      async (digest) => this.#known.manifests.get(digest) ?? (await this.#readManifest(digest, isLinked)),
    );
    numbers.forEach((number, i) => {
      const references = read[i];
      if (references === undefined) return;
      // What cannot be read is no progress: a look that rests for it would rest at the same place again.
      isNew ||= !this.#known.manifests.has(digests.get(number));
      this.knowledge.manifests.set(digests.get(number), references);
      this.manifests.set(number, {
        names: Uint32Array.from(references.names, (digest) => digests.add(digest)),
        subject: references.subject === undefined ? undefined : digests.add(references.subject),
      });
    });
    return isNew;
  }

  async #readManifest(digest: Digest, isLinked: boolean): Promise<References | undefined> {
    return await this.#orDamage(`the manifest ${digest}`, async () => {
      const bytes = await loadManifest(this.#store, digest);
      if (bytes === undefined && isLinked)
        throw new ObjectUnreadable(blobData(digest), 'its bytes are missing');
      return bytes && referencesIn(bytes);
    });
  }

  async #orDamage<T>(what: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.damage.push(`${what} cannot be read: ${reasonOf(error)}`);
      return undefined;
    }
  }
}

function referencesIn(bytes: Buffer): References {
  const { blobs, children, subject } = readNeeds(bytes);
  return { names: [...new Set([...blobs, ...children].map(({ digest }) => digest))], subject };
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
