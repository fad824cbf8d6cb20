import { inParallel } from '../../concurrency/in-parallel.ts';
import { digestOrUndefined, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { readNeeds } from '../../protocol/manifest-needs.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import { compareKeys, PreconditionFailed, type NewObject, type ObjectStore } from '../../storage/store.ts';
import { Collections } from '../collection/collections.ts';
import type { CollectionView } from '../collection/views.ts';
import { blobData, revisionLink, tagLink } from '../layout.ts';
import type { AnnounceOptions } from '../interface.ts';
import { exists, readLink, undefinedIfDamaged, writeLink } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { loadManifest } from '../manifests/cache.ts';
import type { RequiredPlatforms } from '../manifests/required-platforms.ts';
import { announcedTogether, writeIntent, type AnnounceOnce } from '../outbox/announcement.ts';
import { digestOfLink, parseRepositoryKey } from '../repository-keys.ts';
import { partsOf } from './content.ts';
import { describeStored } from './describe-stored.ts';
import { pushedAt } from './history.ts';
import { UndoRefused } from './refused.ts';
import { RepositoryFences, type OnWait } from './repository-fences.ts';
import {
  countedAs,
  RepositoryRecords,
  type DeletedKind,
  type DeletedObject,
  type RepositoryDeletion,
} from './repository-records.ts';
import { rescueImage } from './rescue-image.ts';
import { rescueLinks, writeBack } from './write-back.ts';

/** Concurrent looks at what is restored. */
const parallelLooks = 16;

/** Objects that are written under one view of collections, which ends after two minutes. */
const batchSize = 200;

/** Tags that are named in the result. */
const maxNamed = 100;

/** What a manifest needs is there before it, and its manifest before a tag. Referrers are valid once their manifest is there. */
const restoredKinds: readonly DeletedKind[] = ['layers', 'manifests', 'referrers', 'tags'];

export interface RestoreRepositoryOptions extends AnnounceOptions {
  readonly requiredPlatforms?: RequiredPlatforms;
  /** Only looks, and changes nothing. */
  readonly dryRun?: boolean;
  readonly onWait?: OnWait;
}

export interface RestoredRepository {
  /** When the last delete began. */
  readonly deleted: Date;
  readonly tags: number;
  readonly manifests: number;
  /** Links to blobs. */
  readonly layers: number;
  /** Tags that are there, and were left as they are. */
  readonly kept: number;
  /** What cannot come back, since bytes were collected. */
  readonly gone: GoneContent;
}

export interface GoneContent {
  readonly tags: number;
  readonly manifests: number;
  readonly layers: number;
  /** Some of the tags. */
  readonly named: readonly Tag[];
}

/**
 * Brings back a repository that was deleted whole, as far as its bytes were not collected. What was pushed since is left alone.
 * A restore that was interrupted at any step is completed by a repetition.
 * @throws UndoRefused with nothing changed
 * @throws Error if another delete has begun meanwhile
 */
export async function restoreRepository(
  store: ObjectStore,
  name: RepositoryName,
  options: RestoreRepositoryOptions = {},
): Promise<RestoredRepository> {
  const records = new RepositoryRecords(store, name);
  const [newest, ...earlier] = await records.last();
  if (newest === undefined)
    throw new UndoRefused(
      `no delete of repository ${name} is recorded: there was none, or it was through another program, or so long ago that its images are gone`,
    );
  if (newest.isRestored)
    throw new UndoRefused(
      `repository ${name}, deleted ${newest.at.toISOString()}, was restored already; a tag that was deleted since comes back by stowage restore ${name}:TAG`,
    );
  const restore = new RepositoryRestore(store, name, options, records, newest);
  if (options.dryRun !== true) {
    // It stops a delete that may still be running.
    for (const record of [newest, ...earlier]) await records.setRestoring(record);
    const fences = await RepositoryFences.open(store, options.onWait);
    await fences.endDeletes(records, [newest, ...earlier]);
  }
  for (const kind of restoredKinds)
    for (const record of [newest, ...earlier])
      for await (const objects of records.parts(record, kind)) await restore.part(kind, objects);
  // After the tags: of one that is gone, distribution would list the rest.
  for (const record of [newest, ...earlier])
    for await (const objects of records.parts(record, 'tags')) await restore.histories(objects);
  if (options.dryRun !== true) await restore.finish();
  return restore.result();
}

type Part = readonly DeletedObject[];

class RepositoryRestore {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  readonly #options: RestoreRepositoryOptions;
  readonly #records: RepositoryRecords;
  readonly #newest: RepositoryDeletion;
  readonly #collections: Collections;
  readonly #restored = { tags: 0, manifests: 0, layers: 0 };
  readonly #gone = { tags: 0, manifests: 0, layers: 0 };
  readonly #named: Tag[] = [];
  #kept = 0;

  constructor(
    store: ObjectStore,
    name: RepositoryName,
    options: RestoreRepositoryOptions,
    records: RepositoryRecords,
    newest: RepositoryDeletion,
  ) {
    this.#store = store;
    this.#name = name;
    this.#options = options;
    this.#records = records;
    this.#newest = newest;
    this.#collections = new Collections(store, { readOnly: options.dryRun === true });
  }

  result(): RestoredRepository {
    const gone = { ...this.#gone, named: this.#named.toSorted() };
    return { deleted: this.#newest.at, ...this.#restored, kept: this.#kept, gone };
  }

  /** Restores a part of a record but for the histories of tags. */
  async part(kind: DeletedKind, objects: Part): Promise<void> {
    const wanted = objects.filter(({ key }) => kind !== 'tags' || isTagLink(key));
    for (let at = 0; at < wanted.length; at += batchSize) {
      const batch = wanted.slice(at, at + batchSize);
      // An attempt that came too late may have done some of it.
      const done = new Set<string>();
      const left = await announcedTogether(
        this.#options.announce,
        async (announce) =>
          await this.#commit(async (view) => {
            const missing = await this.#missing(batch.filter(({ key }) => !done.has(key)));
            const whole = await this.#whole(view, missing);
            const work = async (object: DeletedObject) => {
              if (this.#options.dryRun === true || (await this.#write(view, object, announce)))
                done.add(object.key);
            };
            await inParallel(whole, parallelLooks, work);
            const isWhole = new Set(whole);
            return missing.filter((object) => !isWhole.has(object));
          }),
        // Of a tag that somebody else has pushed meanwhile, nothing is told.
        async (key) => done.has(key) || (await this.#isRestored(batch.find((object) => object.key === key))),
      );
      for (const { key } of batch) if (done.has(key)) count(this.#restored, key);
      for (const { key } of left) this.#leaveOut(key);
      if (kind === 'tags') this.#kept += batch.length - done.size - left.length;
    }
  }

  /** Restores the histories of the tags in a part that are there. */
  async histories(objects: Part): Promise<void> {
    if (this.#options.dryRun === true) return;
    const history = objects.filter(({ key }) => !isTagLink(key));
    for (let at = 0; at < history.length; at += batchSize) {
      const batch = history.slice(at, at + batchSize);
      await this.#commit(async (view) => {
        const tags = [...new Set(batch.map(({ key }) => tagOf(key)))];
        const there = await inParallel(tags, parallelLooks, async (tag) => {
          return tag === undefined || (await exists(this.#store, tagLink(this.#name, tag)));
        });
        const known = new Set(tags.filter((_, i) => there[i]));
        const missing = await this.#missing(batch.filter(({ key }) => known.has(tagOf(key))));
        await writeBack(this.#store, view, missing.map(historyEntry));
      });
    }
  }

  /** Only if no delete has begun by now: it has then taken everything that was restored. */
  async finish(): Promise<void> {
    await this.#commit(async () => {
      await this.#records.setRestored(this.#newest);
    });
  }

  /**
   * Does some of the work under the rules of a writer (docs/garbage-collection.md), unless another delete has begun: it would take
   * what is restored now without what was restored before.
   */
  async #commit<T>(work: (view: CollectionView) => Promise<T>): Promise<T> {
    return await this.#collections.commit(async (view) => {
      if (!(await this.#records.isNewest(this.#newest)))
        throw new Error(
          `another delete of repository ${this.#name} has begun meanwhile, so this restore has stopped`,
        );
      return await work(view);
    });
  }

  /** Those that are not there. They are in the order of keys, and mostly all that is there in their range. */
  async #missing(objects: Part): Promise<Part> {
    const [first, last] = [objects[0]?.key, objects.at(-1)?.key];
    if (first === undefined || last === undefined) return [];
    const there = new Set<string>();
    // Before the first, as it is listed too.
    const startAfter = first.slice(0, -1);
    for await (const { key } of listObjects(this.#store, commonPrefix(first, last), { startAfter })) {
      if (compareKeys(key, last) > 0) break;
      there.add(key);
    }
    return objects.filter(({ key }) => !there.has(key));
  }

  /** Those whose bytes are there, with those that an image needs. */
  async #whole(view: CollectionView, objects: Part): Promise<Part> {
    const keys = objects.map(({ key }) => key);
    const gone = await rescueLinks(this.#store, this.#collections, view, this.#name, keys);
    const isWhole = await inParallel(objects, parallelLooks, async ({ key, bytes }) => {
      const parsed = parseRepositoryKey(key);
      if (parsed?.kind === 'tag') return await this.#isTagComplete(view, digestIn(bytes));
      if (gone.has(digestOfLink(key))) return false;
      return parsed?.kind !== 'revision' || (await this.#isComplete(view, parsed.digest));
    });
    return objects.filter((_, i) => isWhole[i]);
  }

  /** @param digest undefined for a damaged one, which comes back as it was */
  async #isTagComplete(view: CollectionView, digest: Digest | undefined): Promise<boolean> {
    if (digest === undefined) return true;
    const isLinked =
      this.#options.dryRun === true || (await exists(this.#store, revisionLink(this.#name, digest)));
    return isLinked && (await this.#isComplete(view, digest, { isKnown: true }));
  }

  /**
   * A manifest that lacked something before is as complete as it was, unless something was collected since.
   * @param isKnown whether all manifests have been looked at
   */
  async #isComplete(view: CollectionView, digest: Digest, { isKnown = false } = {}): Promise<boolean> {
    const { requiredPlatforms } = this.#options;
    const store = this.#store;
    const rescued = await rescueImage(store, this.#collections, view, this.#name, digest, requiredPlatforms);
    await writeBack(store, view, rescued.links);
    if (rescued.missing.length > 0) return false;
    const isAllThere = this.#gone.layers + this.#gone.manifests === 0;
    if (isAllThere && isKnown) return true;
    const data = blobData(digest);
    const bytes = await undefinedIfDamaged(store, data, loadManifest(store, digest));
    // A damaged one comes back as it was.
    if (bytes === undefined) return await exists(store, data);
    if (isAllThere && !isIndex(bytes)) return true;
    const looked = partsOf(store, this.#name, digest, requiredPlatforms);
    const parts = await undefinedIfDamaged(store, data, looked);
    return parts === undefined || parts.every(({ hasBytes, isRequired }) => hasBytes || !isRequired);
  }

  /** @returns false if a tag is there by now */
  async #write(view: CollectionView, object: DeletedObject, announce: AnnounceOnce): Promise<boolean> {
    await this.#announce(view, object, announce);
    if (isTagLink(object.key)) return await this.#createTag(view, object);
    await writeBack(this.#store, view, [object]);
    return true;
  }

  /** Of manifests and tags. What they need comes back with them. */
  async #announce(
    { fence }: CollectionView,
    { key, bytes }: DeletedObject,
    announce: AnnounceOnce,
  ): Promise<void> {
    const parsed = parseRepositoryKey(key);
    const digest = parsed?.kind === 'tag' ? digestIn(bytes) : digestOfLink(key);
    if (digest === undefined || (parsed?.kind !== 'tag' && parsed?.kind !== 'revision')) return;
    const tags = parsed.kind === 'tag' ? [parsed.tag] : [];
    const describe = async () => await describeStored(this.#store, this.#name, digest, tags);
    await writeIntent(this.#store, await announce(key, describe), fence);
  }

  /** As a push that finds no such tag: see `pointTag`. @returns false if there is one */
  async #createTag({ fence }: CollectionView, { key, bytes }: DeletedObject): Promise<boolean> {
    const { honoursOnlyIfAbsent } = this.#store.limits;
    if (!honoursOnlyIfAbsent && (await exists(this.#store, key))) return false;
    try {
      await this.#store.put(key, bytes, { onlyIfAbsent: true, fence });
    } catch (error) {
      if (error instanceof PreconditionFailed) return false;
      throw error;
    }
    const digest = digestIn(bytes);
    const manifest = digest && revisionLink(this.#name, digest);
    if (digest !== undefined && manifest !== undefined && !(await exists(this.#store, manifest)))
      await writeLink(this.#store, manifest, digest, { fence });
    return true;
  }

  /** Whether something is there as it was, by an attempt whose answer was lost. */
  async #isRestored(object: DeletedObject | undefined): Promise<boolean> {
    if (object === undefined) return false;
    const { key, bytes } = object;
    const link = await undefinedIfDamaged(this.#store, key, readLink(this.#store, key));
    return link !== undefined && link.digest === digestIn(bytes);
  }

  #leaveOut(key: string): void {
    const parsed = parseRepositoryKey(key);
    if (parsed?.kind === 'tag' && this.#named.length < maxNamed) this.#named.push(parsed.tag);
    count(this.#gone, key);
  }
}

function isIndex(bytes: Uint8Array): boolean {
  try {
    return readNeeds(bytes).children.length > 0;
  } catch (error) {
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

function isTagLink(key: string): boolean {
  return parseRepositoryKey(key)?.kind === 'tag';
}

function count(counts: Record<'tags' | 'manifests' | 'layers', number>, key: string): void {
  const kind = countedAs(key);
  if (kind !== undefined) counts[kind] += 1;
}

/** What a tag's link holds; undefined if it is damaged. */
function digestIn(bytes: Buffer): Digest | undefined {
  return digestOrUndefined(bytes.toString('latin1').trim());
}

/** The tag to which a key belongs; undefined for what belongs to none. */
function tagOf(key: string): Tag | undefined {
  const parsed = parseRepositoryKey(key);
  return parsed?.kind === 'tag' || parsed?.kind === 'tag index' ? parsed.tag : undefined;
}

/** With the time of the push, which its own time no longer tells. */
function historyEntry({ key, bytes, at, metadata }: DeletedObject): NewObject {
  return { key, bytes, metadata: { ...(at && pushedAt(at)), ...metadata } };
}

function commonPrefix(a: string, b: string): string {
  let end = 0;
  while (end < a.length && a[end] === b[end]) end += 1;
  return a.slice(0, end);
}
