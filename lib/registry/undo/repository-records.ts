import { randomBytes } from 'node:crypto';
import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import {
  repositoriesPrefix,
  repositoryDeletionId,
  repositoryDeletionPart,
  repositoryDeletionsPrefix,
} from '../layout.ts';
import { exists, undefinedIfMissing } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { digestOfLink, parseRepositoryKey, type RepositoryKey } from '../repository-keys.ts';

/*
 * What a delete of a whole repository took, below its record (layout.ts). The parts of a record, in the order of a listing:
 *
 * 0-begun                    when, and the record before it
 * 1-restoring                a restore has begun: nothing more may be deleted under this record
 * 2-finished                 the delete is complete
 * 3-restored                 the restore is complete
 * <kind>-<number>-<random>   up to a thousand objects that were deleted, written before they were
 *
 * 0-begun is the oldest and the first, so that a purge that is interrupted leaves no record of which only a part comes back.
 */

/** Kinds of objects in the order in which they are deleted: an interruption must not leave dangling tags. */
export const deletedKinds = ['tags', 'manifests', 'referrers', 'layers'] as const;

/** Layers are the links to blobs, and all that is of no other kind. */
export type DeletedKind = (typeof deletedKinds)[number];

type Counted = 'tags' | 'manifests' | 'layers';

const countedKinds: Partial<Record<RepositoryKey['kind'], Counted>> = {
  tag: 'tags',
  revision: 'manifests',
  layer: 'layers',
};

/** What a key counts as in what people are told; undefined for histories, referrers, signatures and the like. */
export function countedAs(key: string): Counted | undefined {
  const kind = parseRepositoryKey(key)?.kind;
  return kind && countedKinds[kind];
}

/** Bytes of the largest object that is recorded: a descriptor of a referrer has at most those of a manifest. */
export const maxDeletedSize = 16 * 1024 * 1024;

/** Bytes of a part: its objects have at most as many as the largest of them together, and are written as text. */
const maxPartSize = 64 * 1024 * 1024;

/** An object that was deleted. */
export interface DeletedObject {
  readonly key: string;
  readonly bytes: Buffer;
  /** Of an entry of a tag's history: when it was pushed. */
  readonly at?: Date;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A record, and how far its delete and its restore have come. */
export interface RepositoryDeletion {
  readonly id: string;
  readonly at: Date;
  /** The id of the record before it. */
  readonly previous: string | undefined;
  readonly isFinished: boolean;
  readonly isRestoring: boolean;
  readonly isRestored: boolean;
}

const begun = '0-begun';
const restoring = '1-restoring';
const finished = '2-finished';
const restored = '3-restored';

/** The records of deletes of one whole repository. */
export class RepositoryRecords {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;

  constructor(store: ObjectStore, name: RepositoryName) {
    this.#store = store;
    this.#name = name;
  }

  /**
   * The records of the last delete, the newest first. There are several if it was interrupted and repeated, or if a restore was
   * interrupted before the repository was deleted again. None if there is none, or it was purged.
   */
  async last(): Promise<readonly RepositoryDeletion[]> {
    const records: RepositoryDeletion[] = [];
    let id = await this.#newestId();
    while (id !== undefined) {
      const record: RepositoryDeletion | undefined = await this.#read(id);
      const isPart = records.length === 0 || (record !== undefined && isUndone(record));
      if (record === undefined || !isPart) break;
      records.push(record);
      id = record.isRestored ? undefined : record.previous;
    }
    return records;
  }

  /** @returns undefined if there is none, or it was purged */
  async find(id: string): Promise<RepositoryDeletion | undefined> {
    return await this.#read(id);
  }

  /** Whether a record is the newest, and its delete was not stopped by a restore. Listings of some stores lag. */
  async isDeleting({ id }: Pick<RepositoryDeletion, 'id'>): Promise<boolean> {
    const { objects } = await this.#store.list({ prefix: repositoryDeletionsPrefix(this.#name), limit: 2 });
    const isStopped = objects.some(({ key }) => key === this.#key(id, restoring));
    return !isStopped && objects.every(({ key }) => this.#idOf(key) >= id);
  }

  /** Whether no delete has begun after a record. Listings of some stores lag. */
  async isNewest({ id }: Pick<RepositoryDeletion, 'id'>): Promise<boolean> {
    return ((await this.#newestId()) ?? id) >= id;
  }

  /** Begins a record. @param previous the newest one */
  async begin(previous: RepositoryDeletion | undefined): Promise<RepositoryDeletion> {
    // Clocks differ, and the newest must be the first.
    const at = new Date(Math.max(storeTimeMs(this.#store), (previous?.at.getTime() ?? 0) + 1));
    const id = repositoryDeletionId(at, randomBytes(6).toString('hex'));
    await this.#put(id, begun, { version: 1, at, previous: previous?.id ?? null });
    return { id, at, previous: previous?.id, isFinished: false, isRestoring: false, isRestored: false };
  }

  async setFinished({ id }: RepositoryDeletion): Promise<void> {
    await this.#put(id, finished, { version: 1 });
  }

  async setRestoring({ id }: RepositoryDeletion): Promise<void> {
    await this.#put(id, restoring, { version: 1 });
  }

  async setRestored({ id }: RepositoryDeletion): Promise<void> {
    await this.#put(id, restored, { version: 1 });
  }

  /** Lets a restore be repeated: a late delete may have taken something after it. */
  async clearRestored({ id }: RepositoryDeletion): Promise<void> {
    await this.#store.delete([this.#key(id, restored)]);
  }

  /** The objects of a kind, in the parts in which they were deleted. */
  async *parts(
    record: RepositoryDeletion,
    kind: DeletedKind,
  ): AsyncGenerator<readonly DeletedObject[], void> {
    for await (const { key } of this.listParts(record, kind)) {
      const read = await undefinedIfMissing(this.#store.read(key, maxPartSize));
      // A purge may have begun.
      if (read !== undefined) yield parse(this.#name, read);
    }
  }

  /** The parts with objects of a kind, or of all kinds, unread. */
  async *listParts({ id }: RepositoryDeletion, only?: DeletedKind): AsyncGenerator<ObjectInfo, void> {
    for (const kind of only === undefined ? deletedKinds : [only])
      yield* listObjects(this.#store, this.#key(id, `${kind}-`));
  }

  /** The key and bytes of a part, to be written before its objects are deleted. @param number from 0 */
  part(
    { id }: RepositoryDeletion,
    kind: DeletedKind,
    number: number,
    objects: readonly DeletedObject[],
  ): { readonly key: string; readonly bytes: Buffer } {
    // The last segment distinguishes fences.
    const key = this.#key(id, `${kind}-${String(number).padStart(7, '0')}-${id.split('-')[1] ?? ''}`);
    return { key, bytes: serialize(this.#name, objects) };
  }

  async #newestId(): Promise<string | undefined> {
    const { objects } = await this.#store.list({ prefix: repositoryDeletionsPrefix(this.#name), limit: 1 });
    return objects[0] && this.#idOf(objects[0].key);
  }

  /** @returns undefined if it was purged */
  async #read(id: string): Promise<RepositoryDeletion | undefined> {
    const is = async (part: string) => await exists(this.#store, this.#key(id, part));
    const [read, isFinished, isRestoring, isRestored] = await Promise.all([
      undefinedIfMissing(this.#store.read(this.#key(id, begun), 4096)),
      is(finished),
      is(restoring),
      is(restored),
    ]);
    if (read === undefined) return undefined;
    const { at, previous } = readJson(read) as { at: string; previous: string | null };
    return { id, at: new Date(at), previous: previous ?? undefined, isFinished, isRestoring, isRestored };
  }

  async #put(id: string, part: string, value: object): Promise<void> {
    await this.#store.put(this.#key(id, part), Buffer.from(JSON.stringify(value)));
  }

  #key(id: string, part: string): string {
    return repositoryDeletionPart(this.#name, id, part);
  }

  #idOf(key: string): string {
    return key.slice(repositoryDeletionsPrefix(this.#name).length).split('/', 1)[0] ?? '';
  }
}

/** Whether what a record has belongs to the delete after it: its delete or its restore was interrupted. */
function isUndone({ isFinished, isRestoring, isRestored }: RepositoryDeletion): boolean {
  return !isRestored && (!isFinished || isRestoring);
}

type Read = Pick<ObjectInfo, 'key'> & { readonly bytes: Buffer };

function readJson({ key, bytes }: Read): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw new Error(`the record ${key} of a delete is damaged; restore it from a backup of the storage`, {
      cause,
    });
  }
}

/** As it is written: without the content of a link to the digest in its key. */
interface Written {
  readonly key: string;
  readonly text?: string;
  readonly base64?: string;
  readonly at?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

function serialize(name: RepositoryName, objects: readonly DeletedObject[]): Buffer {
  const folder = `${repositoriesPrefix}${name}/`;
  const written = objects.map(({ key, bytes, ...rest }) => {
    const text = bytes.toString();
    const content =
      text === digestOfLink(key)
        ? {}
        : Buffer.from(text).equals(bytes)
          ? { text }
          : { base64: bytes.toString('base64') };
    return { key: key.slice(folder.length), ...content, ...rest };
  });
  return Buffer.from(JSON.stringify({ version: 1, objects: written }));
}

function parse(name: RepositoryName, read: Read): readonly DeletedObject[] {
  const { objects } = readJson(read) as { objects: readonly Written[] };
  return objects.map(({ key: below, text, base64, at, metadata }) => {
    const key = `${repositoriesPrefix}${name}/${below}`;
    const content =
      base64 === undefined ? Buffer.from(text ?? digestOfLink(key) ?? '') : Buffer.from(base64, 'base64');
    return {
      key,
      bytes: content,
      ...(at !== undefined && { at: new Date(at) }),
      ...(metadata !== undefined && { metadata }),
    };
  });
}
