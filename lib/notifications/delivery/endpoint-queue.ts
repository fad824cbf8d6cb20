import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { eventsPrefixOf } from '../../registry/layout.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import type { Notification } from '../../registry/notification.ts';
import { maxStoredSize, parseNotification, serializeNotification } from './stored-notification.ts';
import type { Remover } from './remover.ts';

/** An event for an endpoint. */
export interface NamedNotification {
  /** The last segment of its key in the bucket. */
  readonly name: string;
  readonly notification: Notification;
}

export interface QueuedNotification {
  /** The last segment of its key. */
  readonly name: string;
  /** Undefined if nobody can read it. */
  readonly notification: Notification | undefined;
}

const parallel = 16;

/** Events that are read before they are sent. */
const readAhead = 8;

/** The objects of events that wait for an endpoint: writes, lists, reads and moves them, and decides nothing. */
export class EndpointQueue {
  readonly #store: ObjectStore;
  readonly #endpoint: string;
  readonly #prefix: string;
  readonly #remover: Remover;
  /** Those that wait are as many as are listed at a time. */
  readonly #writes = new ConcurrencyLimit(parallel, { queueLimit: Infinity, timeoutMs: 10 * 60_000 });

  constructor(store: ObjectStore, endpoint: string, remover: Remover) {
    this.#store = store;
    this.#endpoint = endpoint;
    this.#prefix = eventsPrefixOf('queue', endpoint);
    this.#remover = remover;
  }

  async add({ name, notification }: NamedNotification): Promise<void> {
    await this.#writes.run(async () => {
      await this.#store.put(`${this.#prefix}${name}`, serializeNotification(notification));
    });
  }

  /** The oldest ones; a thousand at most. */
  async list(): Promise<{ readonly objects: readonly ObjectInfo[]; readonly isAll: boolean }> {
    // Or they would be listed again.
    await this.#remover.flush();
    const { objects, next } = await this.#store.list({ prefix: this.#prefix });
    return { objects, isAll: next === undefined };
  }

  /** Reads them, some ahead. Those that are gone by now are left out. */
  async *read(objects: readonly ObjectInfo[]): AsyncGenerator<QueuedNotification, void> {
    const reads: Promise<Buffer | undefined>[] = [];
    const read = async ({ key }: ObjectInfo) =>
      (await undefinedIfMissing(this.#store.read(key, maxStoredSize)))?.bytes;
    for (const [i, info] of objects.entries()) {
      // The first alone: most queues are of an endpoint that is down.
      for (const next of objects.slice(reads.length, i === 0 ? 1 : i + readAhead)) {
        const reading = read(next);
        reading.catch(() => undefined);
        reads.push(reading);
      }
      const bytes = await reads[i];
      if (bytes === undefined) continue;
      yield { name: this.nameOf(info), notification: parseNotification(bytes)?.notification };
    }
  }

  nameOf({ key }: Pick<ObjectInfo, 'key'>): string {
    return key.slice(this.#prefix.length);
  }

  remove(name: string): void {
    this.#remover.remove(`${this.#prefix}${name}`);
  }

  /** Moves events to the dead ones. @param names the last segments of their keys */
  async giveUp(names: readonly string[], reason: string): Promise<void> {
    await inParallel(names, parallel, async (name) => {
      const read = await undefinedIfMissing(this.#store.read(`${this.#prefix}${name}`, maxStoredSize));
      if (read === undefined) return;
      const stored = parseNotification(read.bytes);
      // What nobody can read is kept as it is.
      const bytes =
        stored === undefined
          ? read.bytes
          : serializeNotification(stored.notification, { reason, at: new Date() });
      await this.#store.put(`${eventsPrefixOf('dead', this.#endpoint)}${name}`, bytes);
      this.remove(name);
    });
    await this.#remover.flush();
  }
}
