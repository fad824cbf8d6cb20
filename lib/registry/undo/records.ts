import { randomBytes } from 'node:crypto';
import { mapConcurrently } from '../../concurrency/map-concurrently.ts';
import { digestOrUndefined, type Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { isTag, type Tag } from '../../protocol/tags.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { deletionRecord, deletionRecordsPrefix, parseDeletionRecord } from '../layout.ts';
import { asFields, fieldsOf, type Fields } from '../json-fields.ts';
import { undefinedIfDamaged, undefinedIfMissing } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { pushesInForce } from './pushes-in-force.ts';

/** Most pushes of the histories in a record. A tag that moved more often loses the oldest of them. */
const maxPushes = 20_000;

/** Bytes of a record that is read. Ours are smaller by far, unless a manifest had a hundred thousand tags. */
const maxRecordSize = 256 * 1024 * 1024;

/** By how much the clocks of processes may differ, in milliseconds. Keys have their time, objects that of the bucket. */
const clocksDifferMs = 5 * 60_000;

/** Concurrent reads of records. */
const parallelReads = 8;

/** A push of a manifest to a tag. */
export interface RecordedPush {
  readonly digest: Digest;
  readonly at: Date;
}

/** A tag that was deleted. */
export interface DeletedTag {
  readonly tag: Tag;
  /** What it pointed at; undefined if its link was damaged. */
  readonly digest: Digest | undefined;
  /** The last push of each manifest that it had pointed at. */
  readonly history: readonly RecordedPush[];
}

/** What a delete took from a repository. */
export interface Deletion {
  readonly tags: readonly DeletedTag[];
  /** Manifests that the repository had. */
  readonly manifests: readonly Digest[];
  /** The intents of the last announced pushes of its one manifest that were made: lib/registry/outbox. */
  readonly made: readonly string[];
}

/** A deletion that was read back. */
export interface RecordedDeletion extends Deletion {
  readonly at: Date;
}

/**
 * Records what deletes take, so that it can be brought back: one object for each request. It is written before anything goes, so
 * that whatever is gone has a record. A record without its delete, as after an interruption, changes nothing.
 */
export class DeletionRecords {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async add(name: RepositoryName, deletion: Partial<Deletion>): Promise<void> {
    const at = new Date(storeTimeMs(this.#store));
    const key = deletionRecord(name, at, randomBytes(6).toString('hex'), onlyManifestOf(deletion));
    await this.#store.put(key, serialize(at, deletion));
  }

  /**
   * The manifests that lost a tag by deletes after a time, and those to which such a tag had led after it, some of them repeatedly. One
   * request for each record that is about several manifests, and no other but the listing. Skips damaged records.
   */
  async *untaggedSince(name: RepositoryName, since: Date): AsyncGenerator<Digest, void> {
    const reads = mapConcurrently(this.#keysSince(name, since), parallelReads, async ({ key, only }) => {
      if (only !== undefined) return [only];
      return untaggedBy(await this.#read(key), since);
    });
    for await (const digests of reads) yield* digests;
  }

  async *#keysSince(name: RepositoryName, since: Date) {
    for await (const { key } of listObjects(this.#store, deletionRecordsPrefix(name))) {
      const parsed = parseDeletionRecord(name, key);
      if (parsed === undefined) continue;
      if (parsed.at <= since) return;
      yield { key, only: parsed.only };
    }
  }

  /**
   * The deletes in a repository whose records were written at a time or later, by the clock that dates objects. Skips damaged records.
   */
  async *writtenSince(name: RepositoryName, since: Date): AsyncGenerator<Deletion, void> {
    const records = listObjects(this.#store, deletionRecordsPrefix(name), { skipUnreadable: true });
    for await (const { key, lastModified } of records) {
      const { at } = parseDeletionRecord(name, key) ?? {};
      if (at !== undefined && since.getTime() - at.getTime() > clocksDifferMs) return;
      if (lastModified < since) continue;
      const deletion = await this.#read(key);
      if (deletion !== undefined) yield deletion;
    }
  }

  /** The deletes in a repository, the latest first. Skips damaged records. */
  async *newestFirst(name: RepositoryName): AsyncGenerator<RecordedDeletion, void> {
    const records = listObjects(this.#store, deletionRecordsPrefix(name), { skipUnreadable: true });
    for await (const { key } of records) {
      const deletion = await this.#read(key);
      if (deletion !== undefined) yield deletion;
    }
  }

  /**
   * The manifests that a record may bring back: its own, and those that its tags pointed at. None if it is damaged.
   * @throws StoreUnavailable also if it cannot be read
   */
  async manifestsOf(name: RepositoryName, key: string): Promise<readonly Digest[]> {
    const only = parseDeletionRecord(name, key)?.only;
    if (only !== undefined) return [only];
    const read = await undefinedIfMissing(this.#store.read(key, maxRecordSize));
    const { manifests = [], tags = [] } = parse(read?.bytes) ?? {};
    return [...new Set([...manifests, ...tags.flatMap((tag) => digestOfTag(tag) ?? [])])];
  }

  async #read(key: string): Promise<RecordedDeletion | undefined> {
    const read = undefinedIfDamaged(this.#store, key, this.#store.read(key, maxRecordSize));
    return parse((await read)?.bytes);
  }
}

/** What a tag pointed at. One whose link was damaged counts as pointing at its last push. */
export function digestOfTag({ digest, history }: DeletedTag): Digest | undefined {
  return digest ?? latest(history, 1)[0]?.digest;
}

function onlyManifestOf({ tags = [], manifests = [] }: Partial<Deletion>): Digest | undefined {
  const all = new Set(manifests);
  for (const { digest, history } of tags) {
    if (digest === undefined) return undefined;
    all.add(digest);
    for (const push of history) all.add(push.digest);
  }
  return all.size === 1 ? [...all][0] : undefined;
}

/** One whose link was damaged counts as pointing at its last push. */
function untaggedBy(deletion: RecordedDeletion | undefined, since: Date): Digest[] {
  if (deletion === undefined) return [];
  const end = deletion.at.getTime();
  return deletion.tags.flatMap(({ digest, history }) => {
    const pushes = history.map((push) => ({ digest: push.digest, at: push.at.getTime() }));
    const led = pushesInForce(pushes, { since: since.getTime(), end });
    return [...(digest === undefined ? [] : [digest]), ...led.map((push) => push.digest)];
  });
}

function serialize(at: Date, { tags = [], manifests = [], made = [] }: Partial<Deletion>): Buffer {
  const most = Math.max(1, Math.floor(maxPushes / Math.max(1, tags.length)));
  const described = tags.map(({ history, ...tag }) => ({ ...tag, history: latest(history, most) }));
  return Buffer.from(
    JSON.stringify({ version: 1, at, manifests, tags: described, ...(made.length > 0 && { made }) }),
  );
}

function latest(history: readonly RecordedPush[], most: number): readonly RecordedPush[] {
  return history.toSorted((a, b) => b.at.getTime() - a.at.getTime()).slice(0, most);
}

/** @returns undefined for what is no record */
function parse(bytes: Buffer | undefined): RecordedDeletion | undefined {
  const fields = bytes && fieldsOf(bytes);
  const at = new Date(String(fields?.['at']));
  if (fields === undefined || Number.isNaN(at.getTime())) return undefined;
  return {
    at,
    manifests: listIn(fields, 'manifests').flatMap((one) => digestOrUndefined(String(one)) ?? []),
    tags: listIn(fields, 'tags').flatMap((one) => readTag(one) ?? []),
    made: listIn(fields, 'made').map(String),
  };
}

function listIn(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function readTag(value: unknown): DeletedTag | undefined {
  const fields = asFields(value) ?? {};
  const tag = String(fields['tag']);
  if (!isTag(tag)) return undefined;
  const history = listIn(fields, 'history').flatMap((one) => readPush(one) ?? []);
  return { tag, digest: digestOrUndefined(String(fields['digest'])), history };
}

function readPush(value: unknown): RecordedPush | undefined {
  const fields = asFields(value) ?? {};
  const digest = digestOrUndefined(String(fields['digest']));
  const at = new Date(String(fields['at']));
  return digest === undefined || Number.isNaN(at.getTime()) ? undefined : { digest, at };
}
