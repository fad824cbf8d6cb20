import { randomBytes, randomUUID } from 'node:crypto';
import { beforeEach } from 'node:test';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { streamHash } from '../../lib/registry/uploads/content-hash.ts';
import { blobData, uploadData, uploadSession } from '../../lib/registry/layout.ts';
import { Sessions } from '../../lib/registry/uploads/sessions.ts';
import { purgeUploads, type PurgeResult } from '../../lib/registry/uploads/purge.ts';
import {
  type Listing,
  type ListOptions,
  type MultipartUpload,
  type ObjectStore,
  type UploadedPart,
} from '../../lib/storage/store.ts';
import { MemoryStore } from './memory-store.ts';

export const day = 24 * 60 * 60 * 1000;
export const today = new Date('2026-06-15T12:00:00Z');
export const olderThan = new Date(today.getTime() - 7 * day);
export const daysAgo = (days: number): Date => new Date(today.getTime() - days * day);
export const repository = parseRepositoryName('team/app');
export const someBlob = () => blobData(digestFrom('sha256', randomBytes(32).toString('hex')));

/** A bucket with a settable clock and small pages that counts requests and can fail. */
export class Bucket extends MemoryStore {
  readonly clock: { now: Date };
  readonly asked: Record<string, number> = {};
  /** Throws for operations that are to fail. */
  fail: (operation: string, key: string) => void = () => undefined;
  pageSize = 3;

  constructor() {
    const clock = { now: today };
    super({ now: () => clock.now });
    this.clock = clock;
  }

  /** Runs work with the clock set back by some days. */
  async ago<T>(days: number, work: () => Promise<T>): Promise<T> {
    this.clock.now = daysAgo(days);
    const result = await work();
    this.clock.now = today;
    return result;
  }

  override async list(options: ListOptions): Promise<Listing> {
    this.#ask('list', options.prefix ?? '');
    const { objects } = await super.list(options);
    const left = objects.filter(({ key }) => key > (options.startAfter ?? ''));
    const page = left.slice(0, this.pageSize);
    return { objects: page, prefixes: [], next: left.length > page.length ? page.at(-1)?.key : undefined };
  }

  override async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#ask('delete', key, 0);
    this.asked['delete'] = (this.asked['delete'] ?? 0) + 1;
    await super.delete(keys);
  }

  override async open(...args: Parameters<MemoryStore['open']>): ReturnType<MemoryStore['open']> {
    this.#ask('open', args[0]);
    return await super.open(...args);
  }

  override async head(...args: Parameters<MemoryStore['head']>): ReturnType<MemoryStore['head']> {
    this.#ask('head', args[0]);
    return await super.head(...args);
  }

  override async abortMultipart(key: string, uploadId: string): Promise<void> {
    this.#ask('abort', key);
    await super.abortMultipart(key, uploadId);
  }

  override async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    this.#ask('listMultiparts', prefix);
    yield* super.listMultiparts(prefix);
  }

  #ask(operation: string, key: string, count = 1): void {
    this.fail(operation, key);
    this.asked[operation] = (this.asked[operation] ?? 0) + count;
  }
}

export let store: Bucket;

beforeEach(() => {
  store = new Bucket();
});

interface Begun {
  readonly id: string;
  readonly session: string;
  readonly multipart: string;
}

/** Creates an upload whose session was last written some days ago and whose multipart upload was started then or before. */
export async function begin(
  days: number,
  started = days,
  parts: readonly UploadedPart[] = [],
): Promise<Begun> {
  const id = randomUUID();
  const key = uploadData(id, 'abcd1234');
  const uploadId = await store.ago(started, async () => await store.createMultipart(key));
  await store.ago(days, async () => {
    await new Sessions(store).save({
      id,
      repository,
      startedAt: daysAgo(started),
      offset: 1234,
      hash: streamHash().state(),
      multipart: { key, uploadId, parts },
      tail: Buffer.from('tail\n'),
      etag: undefined,
    });
  });
  return { id, session: uploadSession(id), multipart: key };
}

export async function put(days: number, key: string, content = 'content'): Promise<string> {
  await store.ago(days, async () => await store.put(key, Buffer.from(content)));
  return key;
}

export async function multipart(days: number, key: string): Promise<string> {
  await store.ago(days, async () => await store.createMultipart(key));
  return key;
}

export const run = async (on: ObjectStore = store, dryRun = false): Promise<PurgeResult[]> =>
  await collect(
    purgeUploads(on, { olderThan, recordsOlderThan: daysAgo(30), pullsOlderThan: daysAgo(371), dryRun }),
  );

/** The keys of all objects and multipart uploads. */
export async function contents(): Promise<{ objects: string[]; multiparts: string[] }> {
  const multiparts = await collect(MemoryStore.prototype.listMultiparts.call(store, ''));
  return { objects: [...store.objects.keys()].sort(), multiparts: multiparts.map(({ key }) => key).sort() };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export const nothing = { objects: [], multiparts: [] };
export const kinds = (swept: readonly PurgeResult[]): string[] => swept.map(({ kind }) => kind).sort();
