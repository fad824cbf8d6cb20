import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import type { AnnounceOptions, Immutable } from '../interface.ts';
import {
  foreignUploadsPrefix,
  referrersPrefix,
  repositoryPrefix,
  revisionsPrefix,
  tagsPrefix,
} from '../layout.ts';
import { showsDigest, undefinedIfMissing } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { writeIntent } from '../outbox/announcement.ts';
import type { Change } from '../outbox/change.ts';
import { removeObjects } from '../remove-objects.ts';
import { digestOfLink, parseRepositoryKey } from '../repository-keys.ts';
import { completePushes, type PushedMeanwhile } from './delete-repository-pushes.ts';
import { pushedAtIn } from './history.ts';
import { UndoRefused } from './refused.ts';
import { RepositoryFences, type OnWait } from './repository-fences.ts';
import {
  countedAs,
  deletedKinds,
  maxDeletedSize,
  RepositoryRecords,
  type DeletedKind,
  type DeletedObject,
  type RepositoryDeletion,
} from './repository-records.ts';

/** Objects that are deleted together: a page of a listing, and all that S3 takes in one request. */
const batchSize = 1000;

/** Concurrent reads of objects. */
const parallelReads = 16;

export interface DeleteRepositoryOptions extends AnnounceOptions {
  readonly immutable?: Immutable | undefined;
  /** Only looks, and changes nothing. */
  readonly dryRun?: boolean;
  readonly onWait?: OnWait;
}

/** What a repository has. */
export interface RepositoryContent {
  readonly tags: number;
  readonly manifests: number;
  /** Links to blobs. */
  readonly layers: number;
  /** All other objects: histories, referrers, signatures. */
  readonly others: number;
  /** Uploads through distribution that have not ended, which cannot come back. */
  readonly uploads: number;
}

export interface DeletedRepository extends RepositoryContent {
  /** When it was deleted; undefined if nothing was. */
  readonly at: Date | undefined;
  /** What was pushed at the same time, and stays. */
  readonly pushed: PushedMeanwhile;
}

/**
 * Deletes a repository whole, but for the repositories below it. What goes is recorded before, so that it can be brought back. A
 * delete that was interrupted at any step is completed by a repetition.
 * @throws UndoRefused, with nothing changed unless an immutable tag was pushed meanwhile
 * @throws Error if a restore or another delete has begun meanwhile
 */
export async function deleteRepository(
  store: ObjectStore,
  name: RepositoryName,
  options: DeleteRepositoryOptions = {},
): Promise<DeletedRepository> {
  return await new RepositoryDelete(store, name, options).run();
}

const nothingPushed: PushedMeanwhile = { tags: 0, manifests: 0 };

class RepositoryDelete {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  readonly #options: DeleteRepositoryOptions;
  readonly #records: RepositoryRecords;

  constructor(store: ObjectStore, name: RepositoryName, options: DeleteRepositoryOptions) {
    this.#store = store;
    this.#name = name;
    this.#options = options;
    this.#records = new RepositoryRecords(store, name);
  }

  async run(): Promise<DeletedRepository> {
    const content = await this.#survey();
    const earlier = await this.#records.last();
    const [last] = earlier;
    if (isEmpty(content) && last?.isFinished !== false) return await this.#withoutObjects(content);
    if (this.#options.dryRun === true) return { ...content, at: undefined, pushed: nothingPushed };
    const fences = await RepositoryFences.open(this.#store, this.#options.onWait);
    // Before its record, which tells what has become of it.
    const announcement = this.#options.announce?.(repositoryDeleted(this.#name));
    const record = await this.#records.begin(last);
    // It has stopped a delete that may still be running.
    await fences.endDeletes(this.#records, earlier);
    await writeIntent(this.#store, announcement, undefined);
    for (const kind of deletedKinds) await this.#sweep(record, kind, fences);
    // What distribution has received of uploads is nothing that a repository serves, and may have gigabytes.
    await removeObjects(this.#store, foreignUploadsPrefix(this.#name));
    const pushed = await this.#afterwards(fences);
    await this.#store.removeEmptyFolders?.(repositoryPrefix(this.#name));
    await this.#records.setFinished(record);
    await announcement?.done();
    return { ...content, at: record.at, pushed };
  }

  /** In a folder, distribution may list it all the same. @throws UndoRefused */
  async #withoutObjects(content: RepositoryContent): Promise<DeletedRepository> {
    const wasThere =
      this.#options.dryRun !== true &&
      (await this.#store.removeEmptyFolders?.(repositoryPrefix(this.#name))) === true;
    if (wasThere) return { ...content, at: undefined, pushed: nothingPushed };
    throw new UndoRefused(
      `there is no repository ${this.#name}; stowage restore ${this.#name} brings back a deleted one`,
    );
  }

  /** Counts what is there, before anything changes. @throws UndoRefused */
  async #survey(): Promise<RepositoryContent> {
    const uploads = new Set<string>();
    const counts = { tags: 0, manifests: 0, layers: 0, others: 0 };
    for await (const object of this.#objects(repositoryPrefix(this.#name))) {
      const upload = this.#uploadOf(object);
      if (upload !== undefined) uploads.add(upload);
      else {
        this.#assertDeletable(object);
        counts[countedAs(object.key) ?? 'others'] += 1;
      }
    }
    return { ...counts, uploads: uploads.size };
  }

  /** @throws UndoRefused */
  #assertDeletable({ key, size }: ObjectInfo): void {
    const parsed = parseRepositoryKey(key);
    if (parsed?.kind === 'tag') {
      const rule = this.#options.immutable?.(parsed.tag);
      if (rule !== undefined)
        throw new UndoRefused(
          `tag ${parsed.tag} of repository ${this.#name} is immutable: ${rule}; change the rule in the policy first`,
        );
    }
    if (size > maxDeletedSize)
      throw new UndoRefused(
        `the object ${key} has ${size} bytes and is none of a registry, so it could not be brought back; move it elsewhere first`,
      );
  }

  /** Deletes what is there of a kind, a part at a time, each of which is recorded before. */
  async #sweep(record: RepositoryDeletion, kind: DeletedKind, fences: RepositoryFences): Promise<void> {
    let number = 0;
    const objects = this.#objects(this.#prefixOf(kind));
    for await (const listed of batches(objects, (object) => kindOf(this.#name, object) === kind)) {
      for (const object of listed) this.#assertDeletable(object);
      const digests = new Map(listed.map(({ etag, key }) => [etag, digestOfLink(key)]));
      const read = await inParallel(
        listed,
        parallelReads,
        async (object) => await this.#read(object, digests),
      );
      const found = read.filter((object) => object !== undefined);
      if (found.length === 0) continue;
      const part = this.#records.part(record, kind, number++, found);
      const keys = found.map(({ key }) => key);
      if (await fences.delete(part, keys, async () => await this.#records.isDeleting(record))) continue;
      if (!fences.areEnforced) await this.#records.clearRestored(record);
      throw new Error(
        `a restore or another delete of repository ${this.#name} has begun meanwhile, so this delete has stopped; repeat the one that shall count`,
      );
    }
  }

  #prefixOf(kind: DeletedKind): string {
    const prefixes = { tags: tagsPrefix, manifests: revisionsPrefix, referrers: referrersPrefix };
    return kind === 'layers' ? repositoryPrefix(this.#name) : prefixes[kind](this.#name);
  }

  /** @returns undefined if it is gone by now. @param digests by the ETag of a link: the history of a tag mostly has what it points at */
  async #read(object: ObjectInfo, digests: Digests): Promise<DeletedObject | undefined> {
    const { key, lastModified } = object;
    const isHistory = parseRepositoryKey(key)?.kind === 'tag index';
    const [bytes, head] = await Promise.all([
      this.#bytesOf(object, digests),
      isHistory ? undefinedIfMissing(this.#store.head(key, { metadata: true })) : undefined,
    ]);
    if (bytes === undefined) return undefined;
    if (!isHistory) return { key, bytes };
    const metadata = head?.metadata ?? {};
    return { key, bytes, at: pushedAtIn(metadata) ?? lastModified, metadata };
  }

  async #bytesOf(object: ObjectInfo, digests: Digests): Promise<Buffer | undefined> {
    const known = digestOfLink(object.key) ?? digests.get(object.etag);
    if (object.size === known?.length && showsDigest(object, known)) return Buffer.from(known);
    return (await undefinedIfMissing(this.#store.read(object.key, maxDeletedSize)))?.bytes;
  }

  /** After this, no push is incomplete that has checked its layers before they went. */
  async #afterwards(fences: RepositoryFences): Promise<PushedMeanwhile> {
    // At once, since the wait may be long.
    const pushed = await completePushes(this.#store, this.#name, this.#records);
    const isOver = await fences.endPushes();
    return isOver ? await completePushes(this.#store, this.#name, this.#records) : pushed;
  }

  #objects(prefix: string): AsyncIterable<ObjectInfo> {
    // What cannot be listed would stay, and the repository with it.
    return listObjects(this.#store, prefix);
  }

  #uploadOf({ key }: ObjectInfo): string | undefined {
    const prefix = foreignUploadsPrefix(this.#name);
    return key.startsWith(prefix) ? key.slice(prefix.length).split('/', 1)[0] : undefined;
  }
}

function repositoryDeleted(repository: RepositoryName): Change {
  return { action: 'deleted', content: 'repository', repository };
}

/** @returns undefined for distribution's uploads */
function kindOf(name: RepositoryName, { key }: ObjectInfo): DeletedKind | undefined {
  if (key.startsWith(foreignUploadsPrefix(name))) return undefined;
  if (key.startsWith(tagsPrefix(name))) return 'tags';
  if (key.startsWith(revisionsPrefix(name))) return 'manifests';
  return key.startsWith(referrersPrefix(name)) ? 'referrers' : 'layers';
}

function isEmpty({ tags, manifests, layers, others, uploads }: RepositoryContent): boolean {
  return tags + manifests + layers + others + uploads === 0;
}

type Digests = ReadonlyMap<string, Digest | undefined>;

/** Groups objects into batches, which also end before their content has too many bytes. */
async function* batches(
  objects: AsyncIterable<ObjectInfo>,
  isWanted: (object: ObjectInfo) => boolean,
): AsyncGenerator<readonly ObjectInfo[], void> {
  let [batch, bytes]: [ObjectInfo[], number] = [[], 0];
  for await (const object of objects) {
    if (!isWanted(object)) continue;
    if (batch.length === batchSize || (batch.length > 0 && bytes + object.size > maxDeletedSize)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(object);
    bytes += object.size;
  }
  if (batch.length > 0) yield batch;
}
