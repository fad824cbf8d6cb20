import { inParallel } from '../concurrency/in-parallel.ts';
import { eventsPrefixOf } from '../registry/layout.ts';
import { undefinedIfMissing } from '../registry/links.ts';
import { listObjects } from '../registry/list-objects.ts';
import type { ObjectInfo, ObjectStore } from '../storage/store.ts';
import { deleteState } from './delivery/endpoint-state.ts';
import {
  maxStoredSize,
  parseNotification,
  serializeNotification,
  type GivenUp,
} from './delivery/stored-notification.ts';
import type { Notification } from '../registry/notification.ts';

/** Whether an event waits for an endpoint, or was given up. */
export type StoredKind = 'queue' | 'dead';

/** An event in the bucket that an endpoint has not taken. */
export interface StoredEvent {
  readonly kind: StoredKind;
  readonly endpoint: string;
  /** Of its object, for {@link EventSelection.name}. */
  readonly name: string;
  /** Since when it is there. */
  readonly since: Date;
  /** Undefined if it cannot be read. */
  readonly notification: Notification | undefined;
  /** Why it was given up. */
  readonly givenUp: GivenUp | undefined;
}

/** Which events a command is about. */
export interface EventSelection {
  /** All endpoints by default, also those that the settings do not have any more. */
  readonly endpoint?: string | undefined;
  /** The name of one event. */
  readonly name?: string | undefined;
}

const parallel = 16;

/** Endpoints with events that wait or were given up. */
export async function endpointsWithEvents(store: ObjectStore): Promise<readonly string[]> {
  const kinds = ['queue', 'dead'] as const;
  const found = await Promise.all(
    kinds.map(async (kind) => {
      const prefix = eventsPrefixOf(kind);
      const { prefixes } = await store.list({ prefix, delimiter: '/' });
      return prefixes.map((one) => one.slice(prefix.length, -1));
    }),
  );
  return [...new Set(found.flat())];
}

/**
 * Events in the bucket, by endpoint and in the order of delivery: a request for each thousand, and one for each event. Few are in memory
 * at a time.
 */
export async function* listEvents(
  store: ObjectStore,
  kind: StoredKind,
  selection: EventSelection = {},
): AsyncGenerator<StoredEvent, void> {
  for await (const page of pagesOf(store, kind, selection))
    for (let i = 0; i < page.length; i += parallel) {
      const some = page.slice(i, i + parallel);
      const events = await inParallel(some, parallel, async (info) => await readEvent(store, kind, info));
      yield* events.filter((event) => event !== undefined);
    }
}

/** How many events of an endpoint there are. Nothing is read. */
export async function countEvents(store: ObjectStore, kind: StoredKind, endpoint: string): Promise<number> {
  let count = 0;
  for await (const page of pagesOf(store, kind, { endpoint })) count += page.length;
  return count;
}

/**
 * Puts dead events back into the queues of their endpoints, in their old order, to be sent at once. Beside a delivery, it is up to a
 * minute until they are.
 * @returns how many
 */
export async function replayEvents(store: ObjectStore, selection: EventSelection = {}): Promise<number> {
  let count = 0;
  for await (const page of pagesOf(store, 'dead', selection)) {
    const replayed = await inParallel(page, parallel, async ({ key }) => {
      const read = await undefinedIfMissing(store.read(key, maxStoredSize));
      if (read === undefined) return undefined;
      const { notification } = parseNotification(read.bytes) ?? {};
      const { endpoint, name } = parse('dead', key);
      const bytes = notification === undefined ? read.bytes : serializeNotification(notification);
      await store.put(`${eventsPrefixOf('queue', endpoint)}${name}`, bytes);
      return { key, endpoint };
    });
    const found = replayed.filter((one) => one !== undefined);
    for (const endpoint of new Set(found.map((one) => one.endpoint))) await deleteState(store, endpoint);
    await store.delete(found.map(({ key }) => key));
    count += found.length;
  }
  return count;
}

/** Deletes events that wait or were given up. They are not sent any more. @returns how many */
export async function purgeEvents(
  store: ObjectStore,
  kind: StoredKind,
  selection: EventSelection = {},
): Promise<number> {
  let count = 0;
  for await (const page of pagesOf(store, kind, selection)) {
    await store.delete(page.map(({ key }) => key));
    if (kind === 'queue')
      for (const endpoint of new Set(page.map(({ key }) => parse(kind, key).endpoint)))
        await deleteState(store, endpoint);
    count += page.length;
  }
  return count;
}

async function* pagesOf(
  store: ObjectStore,
  kind: StoredKind,
  { endpoint, name }: EventSelection,
): AsyncGenerator<readonly ObjectInfo[], void> {
  let page: ObjectInfo[] = [];
  for await (const info of listObjects(store, eventsPrefixOf(kind, endpoint))) {
    if (name !== undefined && parse(kind, info.key).name !== name) continue;
    page.push(info);
    if (page.length < 1000) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

async function readEvent(
  store: ObjectStore,
  kind: StoredKind,
  { key, lastModified }: ObjectInfo,
): Promise<StoredEvent | undefined> {
  const read = await undefinedIfMissing(store.read(key, maxStoredSize));
  if (read === undefined) return undefined;
  const { notification, givenUp } = parseNotification(read.bytes) ?? {};
  return { kind, ...parse(kind, key), since: lastModified, notification, givenUp };
}

function parse(kind: StoredKind, key: string): { readonly endpoint: string; readonly name: string } {
  const [endpoint = '', name = ''] = key.slice(eventsPrefixOf(kind).length).split('/');
  return { endpoint, name };
}
