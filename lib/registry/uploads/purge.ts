import { buffer } from 'node:stream/consumers';
import type { RepositoryName } from '../../protocol/names.ts';
import {
  ObjectNotFound,
  RangeNotSatisfiable,
  type MultipartUpload,
  type ObjectInfo,
  type ObjectStore,
} from '../../storage/store.ts';
import {
  blobsPrefix,
  copyClaimsPrefix,
  deletedPrefix,
  isBlobData,
  isPullRecord,
  parseUploadKey,
  pulledPrefix,
  uploadSession,
  uploadsPrefix,
} from '../layout.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { listObjects } from '../list-objects.ts';
import { RecordsOfUse } from '../undo/records-of-use.ts';
import { maxDescriptionBytes, parseDescription, type Description } from './session-object.ts';

const hour = 60 * 60 * 1000;

const day = 24 * hour;

/** Milliseconds without activity after which an upload counts as abandoned. */
export const abandonedAfterMs = 7 * day;

/** The minimum: the state of an upload is valid for 24 hours, and a request that uses it may take long. */
export const minAbandonedAfterMs = 2 * day;

/** For how long the record of a delete stays in any case. */
const recordsKeptForMs = 30 * day;

/**
 * Of old records of deletes, a purge looks at those of each day once in so many days, since there may be many that go on to be of use: it
 * is made once a day.
 */
const recordsLookedAtEvery = 30;

/** Milliseconds after which the record of a pull is of no use: rules ask for 52 weeks at most, and it is written once a day. */
const pullsUsefulForMs = 53 * 7 * day;

/** A session, with the multipart upload it recorded. */
export interface PurgedUpload {
  readonly kind: 'upload';
  readonly id: string;
  /** Undefined, like `received`, if the session was damaged. */
  readonly repository: RepositoryName | undefined;
  /** Bytes. */
  readonly received: number | undefined;
  readonly lastWritten: Date;
  /** The key of its multipart upload, if any. */
  readonly multipart: string | undefined;
}

/** An object with bytes of an upload. */
export interface PurgedData {
  readonly kind: 'data';
  readonly key: string;
  readonly size: number;
  readonly lastWritten: Date;
  /** Whether it was purged with its session; otherwise it was orphaned. */
  readonly ofUpload: boolean;
}

/** A multipart upload that no session recorded. */
export interface PurgedMultipart {
  readonly kind: 'multipart';
  readonly key: string;
  readonly started: Date;
}

/** Something that could not be removed; the next purge retries it. */
export interface PurgeFailure {
  readonly kind: 'failure';
  /** Of the session, the data or the multipart upload. */
  readonly key: string;
  readonly error: unknown;
}

/** The store does not list all multipart uploads, so some may stay. */
export interface UnlistedMultiparts {
  readonly kind: 'unlisted';
  /** For people. */
  readonly reason: string;
}

/** What cannot restore anything any more. */
export interface PurgedRecord {
  readonly kind: 'record';
  readonly key: string;
  readonly lastWritten: Date;
}

/** What says that something was pulled, too long ago to matter. */
export interface PurgedPull extends Omit<PurgedRecord, 'kind'> {
  readonly kind: 'pull';
}

/** What says that a blob was being copied from an upstream, which nobody has gone on with. */
export interface PurgedClaim extends Omit<PurgedRecord, 'kind'> {
  readonly kind: 'claim';
}

export type Purged = PurgedUpload | PurgedData | PurgedMultipart | PurgedRecord | PurgedPull | PurgedClaim;
export type PurgeResult = Purged | PurgeFailure | UnlistedMultiparts;

export interface PurgeOptions {
  /** Only what was last written, or started, before this. */
  readonly olderThan: Date;
  /** Only records of deletes that were written before this, and restore nothing any more. @default 30 days ago */
  readonly recordsOlderThan?: Date;
  /** Only records of pulls that were written before this. @default 53 weeks ago */
  readonly pullsOlderThan?: Date;
  /** Report what would be removed, without removing it. */
  readonly dryRun?: boolean;
}

/**
 * Removes abandoned uploads and reports each removal once it is done. Safe while uploads are in progress and concurrently
 * with another purge: everything listed is checked again before it is removed, and removals are idempotent. A failure is
 * reported, and the purge continues.
 *
 * - An old session is removed, after the multipart upload it records and with its data.
 * - Data without a live session is removed by its own age.
 * - Our multipart uploads that no session records are removed by their own age. Those of blob keys are never recorded. If
 *   the store cannot list them all, this is reported at the end.
 *
 * - Old records of deletes are removed once the manifests are gone that they could restore, within a month, and those of pulls once no
 *   rule can ask for them.
 *
 * - Old claims of copies from upstreams are removed.
 *
 * Blobs, distribution's uploads and keys of any other form are not touched.
 * @throws StoreUnavailable if the bucket cannot be listed
 */
export async function* purgeUploads(
  store: ObjectStore,
  {
    olderThan,
    recordsOlderThan = new Date(Date.now() - recordsKeptForMs),
    pullsOlderThan = new Date(Date.now() - pullsUsefulForMs),
    dryRun = false,
  }: PurgeOptions,
): AsyncGenerator<PurgeResult, void> {
  const purger = new Purger(store, olderThan, dryRun);
  yield* purger.uploads();
  yield* purger.claims();
  yield* new Purger(store, recordsOlderThan, dryRun).deletions();
  yield* new Purger(store, pullsOlderThan, dryRun).pulls();
  yield* purger.multiparts();
}

/** Uploads whose keys are deleted together. */
const batchSize = 400;

/** Concurrent requests. */
const parallel = 16;

/** Bytes of a session to read for its description: enough for an upload of some gigabytes, and for any. */
const descriptionSizes = [64 * 1024, maxDescriptionBytes];

/** The listed objects of one upload. */
interface UploadObjects {
  readonly id: string;
  session: ObjectInfo | undefined;
  readonly data: ObjectInfo[];
}

/** The objects of an upload to remove. */
interface Plan {
  /** Of the session, or of the first data object without one. */
  readonly key: string;
  readonly keys: readonly string[];
  readonly removed: readonly Purged[];
}

/** The state of a session; without a description if it is damaged. */
interface SessionRecord {
  readonly lastModified: Date;
  readonly description: Description | undefined;
}

class Purger {
  readonly #store: ObjectStore;
  readonly #olderThan: Date;
  readonly #dryRun: boolean;

  constructor(store: ObjectStore, olderThan: Date, dryRun: boolean) {
    this.#store = store;
    this.#olderThan = olderThan;
    this.#dryRun = dryRun;
  }

  /** Purges sessions and data in batches. */
  async *uploads(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#oldUploads())) {
      const prepared = await inParallel(batch, parallel, async (upload) => await this.#prepare(upload));
      yield* prepared.filter((one) => one !== undefined && 'kind' in one);
      yield* await this.#delete(prepared.filter((one) => one !== undefined && 'keys' in one));
    }
  }

  /** Purges records of deletes that restore nothing any more. */
  async *deletions(): AsyncGenerator<PurgeResult, void> {
    const records = new RecordsOfUse(this.#store);
    for await (const batch of batches(this.#old(deletedPrefix, (record) => this.#isLookedAt(record)))) {
      const ofUse = await records.among(batch.map(({ key }) => key));
      yield* await this.#remove(
        'record',
        batch.filter(({ key }) => !ofUse.has(key)),
      );
    }
  }

  /** Purges records of pulls. */
  async *pulls(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#old(pulledPrefix, ({ key }) => isPullRecord(key))))
      yield* await this.#remove('pull', batch);
  }

  /** Purges claims of copies. */
  async *claims(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#old(copyClaimsPrefix, () => true)))
      yield* await this.#remove('claim', batch);
  }

  async *#old(prefix: string, isWanted: (object: ObjectInfo) => boolean): AsyncGenerator<ObjectInfo, void> {
    for await (const object of listObjects(this.#store, prefix, { skipUnreadable: true }))
      if (this.#isOld(object) && isWanted(object)) yield object;
  }

  async #remove(
    kind: 'record' | 'pull' | 'claim',
    objects: readonly ObjectInfo[],
  ): Promise<readonly PurgeResult[]> {
    return await this.#delete(
      objects.map(({ key, lastModified }) => ({
        key,
        keys: [key],
        removed: [{ kind, key, lastWritten: lastModified }],
      })),
    );
  }

  /** Follows the uploads: most stores no longer list the multipart uploads of purged sessions. */
  async *multiparts(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#oldMultiparts())) {
      const results = await inParallel(batch, parallel, async (upload) => await this.#abort(upload));
      yield* results.filter((one) => one !== undefined);
    }
    const { unlistedMultiparts: reason } = this.#store;
    if (reason !== undefined) yield { kind: 'unlisted', reason };
  }

  async *#oldUploads(): AsyncGenerator<UploadObjects, void> {
    for await (const upload of uploadsOf(this.#store)) {
      const { session, data } = upload;
      if (session === undefined ? data.some((object) => this.#isOld(object)) : this.#isOld(session))
        yield upload;
    }
  }

  async *#oldMultiparts(): AsyncGenerator<MultipartUpload, void> {
    for (const prefix of [uploadsPrefix, blobsPrefix])
      for await (const upload of this.#store.listMultiparts(prefix)) {
        const own = parseUploadKey(upload.key)?.kind === 'data' || isBlobData(upload.key);
        if (own && this.#isOld({ lastModified: upload.started })) yield upload;
      }
  }

  /** Whether it is the day on which an old record is looked at. */
  #isLookedAt(record: ObjectInfo): boolean {
    return Math.floor(this.#tooOldByMs(record) / day) % recordsLookedAtEvery === 0;
  }

  #isOld(object: Pick<ObjectInfo, 'lastModified'>): boolean {
    return this.#tooOldByMs(object) > 0;
  }

  /** Uses the clock that dates objects: this machine's may be wrong. */
  #tooOldByMs({ lastModified }: Pick<ObjectInfo, 'lastModified'>): number {
    return this.#olderThan.getTime() + (this.#store.clockOffsetMs ?? 0) - lastModified.getTime();
  }

  /**
   * Checks an upload again, since the listing may be stale, and aborts its multipart upload. Only the session records that, so
   * it goes first.
   */
  async #prepare(upload: UploadObjects): Promise<Plan | PurgeFailure | undefined> {
    const data = upload.data.filter((object) => this.#isOld(object));
    const key = upload.session?.key ?? data[0]?.key ?? '';
    try {
      const session = await readSession(this.#store, upload.id);
      if (session !== undefined && !this.#isOld(session)) return undefined;
      const multipart = session?.description?.multipart;
      if (multipart !== undefined && !this.#dryRun)
        await this.#store.abortMultipart(multipart.key, multipart.uploadId);
      const ofUpload = session !== undefined;
      const purgedData = data.map(({ key, size, lastModified }): PurgedData => {
        return { kind: 'data', key, size, lastWritten: lastModified, ofUpload };
      });
      const keys = data.map((object) => object.key);
      return session === undefined
        ? { key, keys, removed: purgedData }
        : {
            key,
            keys: [...keys, uploadSession(upload.id)],
            removed: [describeUpload(upload.id, session), ...purgedData],
          };
    } catch (error) {
      return { kind: 'failure', key, error };
    }
  }

  /** Deletes the planned keys together; if that fails, one upload at a time, to report which ones stay. */
  async #delete(plans: readonly Plan[]): Promise<readonly PurgeResult[]> {
    const removed = plans.flatMap((plan) => plan.removed);
    if (this.#dryRun || removed.length === 0) return removed;
    try {
      await this.#store.delete(plans.flatMap(({ keys }) => keys));
      return removed;
    } catch (error) {
      const [plan, ...rest] = plans;
      if (plan !== undefined && rest.length === 0) return [{ kind: 'failure', key: plan.key, error }];
      return (await inParallel(plans, parallel, async (single) => await this.#delete([single]))).flat();
    }
  }

  /** A recorded one belongs to its session: if that is old and still exists, it could not be removed. */
  async #abort({ key, uploadId, started }: MultipartUpload): Promise<PurgeResult | undefined> {
    const id = parseUploadKey(key)?.id;
    try {
      const session = id === undefined ? undefined : await readSession(this.#store, id);
      if (session !== undefined && this.#mayNeed(session, uploadId)) return undefined;
      if (!this.#dryRun) await this.#store.abortMultipart(key, uploadId);
      return { kind: 'multipart', key, started };
    } catch (error) {
      return { kind: 'failure', key, error };
    }
  }

  /** A damaged session that is not old may still be repaired by hand. */
  #mayNeed(session: SessionRecord, uploadId: string): boolean {
    const { description } = session;
    return description === undefined ? !this.#isOld(session) : description.multipart?.uploadId === uploadId;
  }
}

/** The uploads in a bucket with their objects, which are adjacent in a listing. */
async function* uploadsOf(store: ObjectStore): AsyncGenerator<UploadObjects, void> {
  let upload: UploadObjects | undefined;
  for await (const object of listObjects(store, uploadsPrefix, { skipUnreadable: true })) {
    const key = parseUploadKey(object.key);
    if (key === undefined) continue;
    if (upload?.id !== key.id) {
      if (upload !== undefined) yield upload;
      upload = { id: key.id, session: undefined, data: [] };
    }
    if (key.kind === 'session') upload.session = object;
    else upload.data.push(object);
  }
  if (upload !== undefined) yield upload;
}

/** @returns undefined if there is none (any more) */
async function readSession(store: ObjectStore, id: string): Promise<SessionRecord | undefined> {
  const key = uploadSession(id);
  try {
    const { lastModified, line } = await readFirstLine(store, key);
    return { lastModified, description: line === undefined ? undefined : parseDescription(id, line) };
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    if (error instanceof RangeNotSatisfiable)
      return { lastModified: (await store.head(key)).lastModified, description: undefined };
    throw error;
  }
}

/** Reads a session's description without its tail, which may have several MiB. */
async function readFirstLine(
  store: ObjectStore,
  key: string,
): Promise<Pick<ObjectInfo, 'lastModified'> & { readonly line: string | undefined }> {
  let lastModified = new Date(Number.NaN);
  for (const size of descriptionSizes) {
    const object = await store.open(key, { start: 0, end: size - 1 });
    const bytes = await buffer(object.body);
    const end = bytes.indexOf('\n');
    if (end >= 0) return { lastModified: object.lastModified, line: bytes.toString('utf8', 0, end) };
    ({ lastModified } = object);
    if (object.size <= size) break;
  }
  return { lastModified, line: undefined };
}

function describeUpload(id: string, { lastModified, description }: SessionRecord): PurgedUpload {
  return {
    kind: 'upload',
    id,
    repository: description?.repository,
    received: description?.offset,
    lastWritten: lastModified,
    multipart: description?.multipart?.key,
  };
}

async function* batches<T>(items: AsyncIterable<T>): AsyncGenerator<readonly T[], void> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Counts the results of a purge. */
export class PurgeTotals {
  uploads = 0;
  /** Bytes received by the uploads. */
  received = 0;
  /** Orphaned data objects. */
  data = 0;
  multiparts = 0;
  /** Records of deletes. */
  records = 0;
  /** Records of pulls. */
  pulls = 0;
  /** Claims of copies from upstreams. */
  claims = 0;
  failures = 0;

  add(result: PurgeResult): void {
    if (result.kind === 'failure') this.failures += 1;
    else if (result.kind === 'unlisted') return;
    else if (result.kind === 'multipart') this.multiparts += 1;
    else if (result.kind === 'record') this.records += 1;
    else if (result.kind === 'pull') this.pulls += 1;
    else if (result.kind === 'claim') this.claims += 1;
    else if (result.kind === 'upload') {
      this.uploads += 1;
      this.received += result.received ?? 0;
    } else if (!result.ofUpload) this.data += 1;
  }
}
