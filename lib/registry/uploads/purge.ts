import { buffer } from 'node:stream/consumers';
import type { RepositoryName } from '../../protocol/names.ts';
import {
  ObjectNotFound,
  RangeNotSatisfiable,
  type MultipartUpload,
  type ObjectInfo,
  type ObjectStore,
} from '../../storage/store.ts';
import { blobsPrefix, isBlobData, parseUploadKey, uploadSession, uploadsPrefix } from '../layout.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { listObjects } from '../list-objects.ts';
import { maxDescriptionBytes, parseDescription, type Description } from './session-object.ts';

const hour = 60 * 60 * 1000;

/** Milliseconds without activity after which an upload counts as abandoned. */
export const abandonedAfterMs = 7 * 24 * hour;

/** The least there may be: an upload's state lives for 24 hours, and a request that uses it up to its end may be long. */
export const minAbandonedAfterMs = 2 * 24 * hour;

/** An upload that was given up: its session, and with it the multipart upload it recorded. */
export interface PurgedUpload {
  readonly kind: 'upload';
  readonly id: string;
  /** Undefined, as the bytes are, when the session object was damaged. */
  readonly repository: RepositoryName | undefined;
  /** Bytes. */
  readonly received: number | undefined;
  readonly lastWritten: Date;
  /** The key of its multipart upload, if it had one. */
  readonly multipart: string | undefined;
}

/** An object with bytes of an upload. */
export interface PurgedData {
  readonly kind: 'data';
  readonly key: string;
  readonly size: number;
  readonly lastWritten: Date;
  /** Whether it goes with its upload's session; otherwise there was none any more. */
  readonly ofUpload: boolean;
}

/** A multipart upload in progress which no session recorded. */
export interface PurgedMultipart {
  readonly kind: 'multipart';
  readonly key: string;
  readonly started: Date;
}

/** What could not be removed, and stays for the next sweep. */
export interface PurgeFailure {
  readonly kind: 'failure';
  /** Of the session, the data or the multipart upload. */
  readonly key: string;
  readonly error: unknown;
}

/** Multipart uploads that the store does not show, and which so stay. */
export interface UnlistedMultiparts {
  readonly kind: 'unlisted';
  /** Why, in words. */
  readonly reason: string;
}

export type Purged = PurgedUpload | PurgedData | PurgedMultipart;
export type PurgeResult = Purged | PurgeFailure | UnlistedMultiparts;

export interface PurgeOptions {
  /** Only what was last written, or begun, before this. */
  readonly olderThan: Date;
  /** Tell what would be removed, and remove nothing. */
  readonly dryRun?: boolean;
}

/**
 * Removes uploads that were given up, and tells of each thing when it is gone. Safe while uploads go on, and beside
 * another sweep: what is decided by a listing is looked at once more before anything is removed, and all that is removed
 * may be so twice. What cannot be removed is told of as a failure, and the sweep goes on.
 *
 * - a session that is old goes, with the multipart upload it records; then its data
 * - data goes by its own age once it has no session that lives
 * - a multipart upload of ours that no session records goes by its own age. Of those begun at a blob's key none is
 *   recorded anywhere. Where the store cannot list them all, that is told at the end.
 *
 * Objects of blobs, distribution's uploads and keys of any other form are left alone.
 * @throws StoreUnavailable when the bucket cannot be listed
 */
export async function* purgeUploads(
  store: ObjectStore,
  { olderThan, dryRun = false }: PurgeOptions,
): AsyncGenerator<PurgeResult, void> {
  const purger = new Purger(store, olderThan, dryRun);
  yield* purger.uploads();
  yield* purger.multiparts();
}

/** Uploads looked at before their keys are deleted in one go. */
const batchSize = 400;

/** Requests at once. */
const parallel = 16;

/** Bytes of a session object that hold the description of an upload of some gigabytes, and of any. */
const descriptionSizes = [64 * 1024, maxDescriptionBytes];

/** The objects of one upload, as they were listed. */
interface UploadObjects {
  readonly id: string;
  readonly session: ObjectInfo | undefined;
  readonly data: readonly ObjectInfo[];
}

/** What is to be removed of an upload. */
interface Plan {
  /** Of the session, or of the first of the data without one. */
  readonly key: string;
  readonly keys: readonly string[];
  readonly removed: readonly Purged[];
}

/** What a sweep has to know of a session; a description only of one that is not damaged. */
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

  /** Sessions and data, a batch at a time. */
  async *uploads(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#oldUploads())) {
      const prepared = await inParallel(batch, parallel, async (upload) => await this.#prepare(upload));
      yield* prepared.filter((one) => one !== undefined && 'kind' in one);
      yield* await this.#delete(prepared.filter((one) => one !== undefined && 'keys' in one));
    }
  }

  /** After the uploads: on most stores those of sessions that went are no longer listed. */
  async *multiparts(): AsyncGenerator<PurgeResult, void> {
    for await (const batch of batches(this.#oldMultiparts())) {
      const results = await inParallel(
        batch,
        parallel,
        async (upload) => await this.#abortUnrecorded(upload),
      );
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

  /** By the clock that dates objects: this machine's may be wrong. */
  #isOld({ lastModified }: Pick<ObjectInfo, 'lastModified'>): boolean {
    return lastModified.getTime() - (this.#store.clockOffsetMs ?? 0) < this.#olderThan.getTime();
  }

  /**
   * Looks at an upload once more, for a listing may lag and the session have been written since, and throws away its
   * multipart upload. Nothing else knows of that, so it goes before the session does.
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
      return {
        key,
        keys: [
          ...data.map((object) => object.key),
          ...(session === undefined ? [] : [uploadSession(upload.id)]),
        ],
        removed: [
          ...(session === undefined ? [] : [sweptUpload(upload.id, session)]),
          ...data.map((object) => sweptData(object, session !== undefined)),
        ],
      };
    } catch (error) {
      return { kind: 'failure', key, error };
    }
  }

  /** Deletes what was planned at once; one by one where that fails, to know which of it stays. */
  async #delete(plans: readonly Plan[]): Promise<readonly PurgeResult[]> {
    const removed = plans.flatMap((plan) => plan.removed);
    if (this.#dryRun || removed.length === 0) return removed;
    try {
      await this.#store.delete(plans.flatMap(({ keys }) => keys));
      return removed;
    } catch (error) {
      const [plan, ...rest] = plans;
      if (plan !== undefined && rest.length === 0) return [{ kind: 'failure', key: plan.key, error }];
      return (await inParallel(plans, parallel, async (one) => await this.#delete([one]))).flat();
    }
  }

  /** One that a session records lives with it: if that is old and still here, it could not be removed. */
  async #abortUnrecorded({ key, uploadId, started }: MultipartUpload): Promise<PurgeResult | undefined> {
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

  /** A damaged session that is not old may yet be mended by the hand that damaged it. */
  #mayNeed(session: SessionRecord, uploadId: string): boolean {
    const { description } = session;
    return description === undefined ? !this.#isOld(session) : description.multipart?.uploadId === uploadId;
  }
}

/** The uploads in a bucket with their objects, which lie side by side in a listing. */
async function* uploadsOf(store: ObjectStore): AsyncGenerator<UploadObjects, void> {
  let upload: UploadObjects | undefined;
  for await (const object of listObjects(store, uploadsPrefix, { skipUnreadable: true })) {
    const key = parseUploadKey(object.key);
    if (key === undefined) continue;
    if (upload !== undefined && upload.id !== key.id) yield upload;
    const { session, data }: Omit<UploadObjects, 'id'> =
      upload?.id === key.id ? upload : { session: undefined, data: [] };
    upload =
      key.kind === 'session'
        ? { id: key.id, session: object, data }
        : { id: key.id, session, data: [...data, object] };
  }
  if (upload !== undefined) yield upload;
}

/** @returns undefined when there is none (any more) */
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

/** A session's description without the bytes after it, which may be some MiB. */
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

function sweptUpload(id: string, { lastModified, description }: SessionRecord): PurgedUpload {
  return {
    kind: 'upload',
    id,
    repository: description?.repository,
    received: description?.offset,
    lastWritten: lastModified,
    multipart: description?.multipart?.key,
  };
}

function sweptData({ key, size, lastModified }: ObjectInfo, ofUpload: boolean): PurgedData {
  return { kind: 'data', key, size, lastWritten: lastModified, ofUpload };
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

/** What a sweep came to, in numbers. */
export class PurgeTotals {
  uploads = 0;
  /** Bytes that the uploads had received. */
  received = 0;
  /** Data objects without a session. */
  data = 0;
  multiparts = 0;
  failures = 0;

  add(swept: PurgeResult): void {
    if (swept.kind === 'failure') this.failures += 1;
    else if (swept.kind === 'unlisted') return;
    else if (swept.kind === 'multipart') this.multiparts += 1;
    else if (swept.kind === 'upload') {
      this.uploads += 1;
      this.received += swept.received ?? 0;
    } else if (!swept.ofUpload) this.data += 1;
  }
}
