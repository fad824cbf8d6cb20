import { randomBytes } from 'node:crypto';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { newerThanMark } from '../../registry/collection/mark.ts';
import { serializeDeletion } from '../../registry/collection/deletion-record.ts';
import { blobData, deletionKey, rescueKey, rescuesPrefix } from '../../registry/layout.ts';
import { exists, undefinedIfMissing } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey, type RepositoryKey } from '../../registry/repository-keys.ts';
import { FenceEnded, type Fence, type Fencing, type ObjectStore } from '../../storage/store.ts';
import { removeFolders } from './emptied.ts';
import { readNeeded } from './manifest-needs.ts';
import { beganOf, condemns, isOnlyLinks } from './marks.ts';
import type { PlannedDeletion } from './plan.ts';

/** The most of a batch. */
const maxDigests = 100;
const maxKeys = 1000;

/**
 * How often a batch is tried that came too late: in a folder, each writer that needs something of it ends its deletion, and then has
 * rescued that.
 */
const maxAttempts = 20;

const parallelRequests = 16;

/** What was deleted. */
export class Deleted {
  readonly blobs = { number: 0, bytes: 0 };
  manifests = 0;
  /** Links of all kinds, entries of tags' histories and of the index of referrers, and tags of referrers. */
  links = 0;
  readonly repositories = new Set<string>();
  /** Digests that were left because a writer uses them. */
  readonly rescued = new Set<Digest>();

  add({ keys, bytes }: PlannedDeletion): void {
    for (const key of keys) {
      const parsed = parseRepositoryKey(key);
      if (parsed === undefined || parsed.kind === 'other') continue;
      this.repositories.add(parsed.name);
      this.links += 1;
      if (parsed.kind === 'revision') this.manifests += 1;
    }
    if (bytes === undefined) return;
    this.blobs.number += 1;
    this.blobs.bytes += bytes;
  }
}

/** Nothing more may be deleted under a mark: another collection has retired it. */
export class MarkRetired extends Error {}

/**
 * Deletes what was planned under a mark, in batches.
 * @throws MarkRetired
 * @throws StoreUnavailable the record of the batch stays then, since some of it may land later
 */
export async function deletePlanned(
  store: ObjectStore,
  fencing: Fencing,
  mark: string,
  planned: readonly PlannedDeletion[],
  deleted: Deleted,
): Promise<void> {
  for (const batch of batchesOf(planned)) await new Batch(store, fencing, mark, batch, deleted).delete();
}

function* batchesOf(planned: readonly PlannedDeletion[]): Generator<readonly PlannedDeletion[]> {
  let batch: PlannedDeletion[] = [];
  let digests = 0;
  let keys = 0;
  for (const one of planned) {
    const more = batch.at(-1)?.digest === one.digest ? 0 : 1;
    const size = one.keys.length + (one.bytes === undefined ? 0 : 1);
    if (batch.length > 0 && (digests + more > maxDigests || keys + size > maxKeys)) {
      yield batch;
      [batch, digests, keys] = [[], 0, 0];
    }
    digests += batch.length === 0 ? 1 : more;
    keys += size;
    batch.push(one);
  }
  if (batch.length > 0) yield batch;
}

/** See docs/garbage-collection.md, "Collectors". */
class Batch {
  readonly #store: ObjectStore;
  readonly #fencing: Fencing;
  readonly #mark: string;
  readonly #planned: readonly PlannedDeletion[];
  readonly #deleted: Deleted;
  readonly #range: { readonly from: Digest; readonly to: Digest };

  constructor(
    store: ObjectStore,
    fencing: Fencing,
    mark: string,
    planned: readonly PlannedDeletion[],
    deleted: Deleted,
  ) {
    this.#store = store;
    this.#fencing = fencing;
    this.#mark = mark;
    this.#planned = planned;
    this.#deleted = deleted;
    const digests = planned.map(({ digest }) => digest);
    this.#range = {
      from: digests.reduce((least, digest) => (digest < least ? digest : least)),
      to: digests.reduce((most, digest) => (digest > most ? digest : most)),
    };
  }

  async delete(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const key = deletionKey(this.#mark, randomBytes(8).toString('hex'));
      const bytes = serializeDeletion(this.#range);
      const fence = await this.#fencing.openDeletion({ key, bytes });
      try {
        await this.#deleteUnder(fence);
      } catch (error) {
        // Then none of it can land any more.
        if (error instanceof FenceEnded || error instanceof MarkRetired) await this.#end(key, fence);
        if (error instanceof FenceEnded && attempt < maxAttempts) continue;
        throw error;
      }
      await this.#end(key, fence);
      return;
    }
  }

  async #deleteUnder(fence: Fence): Promise<void> {
    const rescued = await this.#readRescues();
    if (!(await condemns(this.#store, this.#mark)))
      throw new MarkRetired(`the mark ${this.#mark} was retired`);
    const renewed = isOnlyLinks(this.#mark) ? await this.#readRenewed() : new Set<PlannedDeletion>();
    const left = this.#planned.filter(
      (one) =>
        renewed.has(one) ||
        rescued.has(one.digest) ||
        one.about?.some((other) => rescued.has(other)) === true,
    );
    const going = this.#planned.filter((one) => !left.includes(one));
    const links = going.flatMap(({ keys }) => keys);
    const blobs = going.filter(({ bytes }) => bytes !== undefined).map(({ digest }) => blobData(digest));
    if (links.length > 0) await this.#store.delete(links, { fence });
    if (blobs.length > 0) await this.#store.delete(blobs, { fence });
    await removeFolders(this.#store, links);
    for (const one of going) this.#deleted.add(one);
    await this.#leave(left);
  }

  async #readRescues(): Promise<ReadonlySet<Digest>> {
    const digests = new Map(this.#planned.map(({ digest }) => [rescueKey(this.#mark, digest), digest]));
    const others = new Map(
      this.#planned
        .flatMap(({ about = [] }) => about)
        .map((digest) => [rescueKey(this.#mark, digest), digest]),
    );
    const keys = others.size === 0 ? undefined : await this.#fewRescues();
    if (keys !== undefined) return new Set(keys.flatMap((key) => digests.get(key) ?? others.get(key) ?? []));
    const { from, to } = this.#range;
    const rescued = new Set<Digest>();
    const last = rescueKey(this.#mark, to);
    // The key before this one in a listing is shorter.
    const startAfter = rescueKey(this.#mark, from).slice(0, -1);
    for await (const { key } of listObjects(this.#store, rescuesPrefix(this.#mark), { startAfter })) {
      if (key > last) break;
      const digest = digests.get(key);
      if (digest !== undefined) rescued.add(digest);
    }
    await inParallel([...others], parallelRequests, async ([key, digest]) => {
      if (await exists(this.#store, key)) rescued.add(digest);
    });
    return rescued;
  }

  /** All of them, which are mostly few; undefined if there are more than one request tells. */
  async #fewRescues(): Promise<readonly string[] | undefined> {
    const { objects, next } = await this.#store.list({ prefix: rescuesPrefix(this.#mark) });
    return next === undefined ? objects.map(({ key }) => key) : undefined;
  }

  /**
   * Manifests and tags that are newer than the mark by now: pushes through other registries write no rescue. A blob that nothing names
   * yet need not be looked at: its link is written again when something does.
   */
  async #readRenewed(): Promise<ReadonlySet<PlannedDeletion>> {
    const since = newerThanMark(beganOf(this.#mark));
    const renewed = new Set<PlannedDeletion>();
    const links = this.#planned.flatMap((one) =>
      one.keys.filter((key) => isManifestOrTag(parseRepositoryKey(key))).map((key) => ({ one, key })),
    );
    await inParallel(links, parallelRequests, async ({ one, key }) => {
      const link = await undefinedIfMissing(this.#store.head(key));
      if (link !== undefined && link.lastModified.getTime() > since) renewed.add(one);
    });
    return renewed;
  }

  /** Ends a deletion that is confirmed, or that can land no more. */
  async #end(key: string, { opened }: Fence): Promise<void> {
    await this.#fencing.endDeletion({ key, lastModified: opened });
    await this.#store.delete([key]);
  }

  /** Rescues what manifests need that are left: the writer that rescued them may have been stopped before the rest. */
  async #leave(left: readonly PlannedDeletion[]): Promise<void> {
    for (const { digest, keys } of left) {
      this.#deleted.rescued.add(digest);
      const parsed = keys.flatMap((key) => parseRepositoryKey(key) ?? []);
      const isManifest = parsed.some(isManifestOrTag);
      const needed = isManifest ? await neededBy(this.#store, digest) : new Set<Digest>();
      for (const one of parsed) if (one.kind === 'signature') needed.add(one.digest);
      await inParallel([...needed], parallelRequests, async (one) => {
        await this.#store.put(rescueKey(this.#mark, one), Buffer.from(''));
      });
    }
  }
}

function isManifestOrTag(key: RepositoryKey | undefined): boolean {
  return key?.kind === 'revision' || key?.kind === 'tag';
}

/** All that a manifest needs, with itself. One that is gone or damaged needs nothing. */
async function neededBy(store: ObjectStore, manifest: Digest): Promise<Set<Digest>> {
  const needed = await readNeeded(store, [manifest], ({ isManifest }) => isManifest);
  return new Set([manifest, ...[...needed.values()].flatMap((digests) => [...digests])]);
}
