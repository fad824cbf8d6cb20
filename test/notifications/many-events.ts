import { setImmediate } from 'node:timers/promises';
import { serializeNotification, storedName } from '../../lib/notifications/delivery/stored-notification.ts';
import { notificationsOf } from '../../lib/registry/notifications-of.ts';
import { eventFolders, eventsPrefixOf, pendingIntent, pendingPrefix } from '../../lib/registry/layout.ts';
import type { Intent } from '../../lib/registry/outbox/intent.ts';
import { serializeIntent } from '../../lib/registry/outbox/intent-object.ts';
import {
  ObjectNotFound,
  type Listing,
  type ListOptions,
  type ObjectHead,
  type ObjectInfo,
  type PutOptions,
} from '../../lib/storage/store.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { intentOf, pushed, tag } from './samples.ts';

/** Where an event is: among the intents, in the queue of the endpoint, in both, or nowhere. */
const [pending, queued] = [1, 2];

/**
 * A bucket with any number of events, one each millisecond, whose objects exist only as they are listed or read: of each one there is a
 * byte in memory.
 */
export class ManyEvents extends MemoryStore {
  readonly #where: Uint8Array;
  readonly #startMs: number;
  readonly #queue: string;
  /** Requests. */
  asked = 0;

  /** @param endpoint whose queue they may be put into */
  constructor(count: number, endpoint: string) {
    super({ conditionalWrites: true });
    this.#where = new Uint8Array(count).fill(pending);
    this.#startMs = Date.now() - count;
    this.#queue = eventsPrefixOf('queue', endpoint);
  }

  /** How many are somewhere. */
  get left(): number {
    return this.#where.reduce((sum, where) => sum + Number(where > 0), 0);
  }

  override async list(options: ListOptions = {}): Promise<Listing> {
    await this.#ask();
    const { prefix = '', startAfter = '', limit = 1000 } = options;
    if (prefix === eventFolders.prefix) {
      const prefixes = [
        ...(this.#next(pending, 0) === undefined ? [] : [pendingPrefix]),
        ...(this.#next(queued, 0) === undefined ? [] : [eventsPrefixOf('queue')]),
      ];
      return { objects: [], prefixes, next: undefined };
    }
    if (prefix === eventsPrefixOf('queue')) {
      const prefixes = this.#next(queued, 0) === undefined ? [] : [this.#queue];
      return { objects: [], prefixes, next: undefined };
    }
    const where = this.#placeOf(prefix);
    if (where === undefined) return await super.list(options);
    const objects: ObjectInfo[] = [];
    let at = this.#next(where, startAfter === '' ? 0 : this.#indexOf(startAfter, prefix) + 1);
    for (; at !== undefined && objects.length < limit; at = this.#next(where, at + 1))
      objects.push(
        where === pending ? this.#intentAt(at) : { ...this.#intentAt(at), key: this.#queuedKey(at) },
      );
    return { objects, prefixes: [], next: at === undefined ? undefined : objects.at(-1)?.key };
  }

  override async read(key: string, maxSize: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    await this.#ask();
    const [prefix, where] = this.#folderOf(key);
    if (where === undefined) return await super.read(key, maxSize);
    const at = this.#indexOf(key, prefix);
    if (((this.#where[at] ?? 0) & where) === 0) throw new ObjectNotFound(key);
    const intent = this.#describe(at);
    const [notification] = notificationsOf(intent);
    const bytes =
      where === pending || notification === undefined
        ? serializeIntent(intent)
        : serializeNotification(notification);
    return { ...this.#intentAt(at), key, size: bytes.length, metadata: {}, bytes };
  }

  override async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    await this.#ask();
    const [prefix, where] = this.#folderOf(key);
    if (where === undefined) return await super.put(key, bytes, options);
    const at = this.#indexOf(key, prefix);
    this.#change(at, (before) => before | where);
    return { ...this.#intentAt(at), key };
  }

  override async delete(keys: readonly string[]): Promise<void> {
    await this.#ask();
    const others: string[] = [];
    for (const key of keys) {
      const [prefix, where] = this.#folderOf(key);
      if (where === undefined) others.push(key);
      else this.#change(this.#indexOf(key, prefix), (before) => before & ~where);
    }
    if (others.length > 0) await super.delete(others);
  }

  async #ask(): Promise<void> {
    // Timers run in between, as with a real one.
    if (++this.asked % 100 === 0) await setImmediate();
  }

  #change(at: number, to: (before: number) => number): void {
    this.#where[at] = to(this.#where[at] ?? 0);
  }

  #placeOf(prefix: string): number | undefined {
    return prefix === pendingPrefix ? pending : prefix === this.#queue ? queued : undefined;
  }

  #folderOf(key: string): readonly [prefix: string, where: number | undefined] {
    const prefix = key.startsWith(pendingPrefix) ? pendingPrefix : this.#queue;
    return [prefix, key.startsWith(prefix) ? this.#placeOf(prefix) : undefined];
  }

  #next(where: number, from: number): number | undefined {
    for (let at = from; at < this.#where.length; at++) if (((this.#where[at] ?? 0) & where) > 0) return at;
    return undefined;
  }

  #indexOf(key: string, prefix: string): number {
    return Number(key.slice(prefix.length, prefix.length + 13)) - this.#startMs;
  }

  #queuedKey(at: number): string {
    return `${this.#queue}${storedName(this.#intentAt(at), 0)}`;
  }

  #intentAt(at: number): ObjectInfo {
    const lastModified = new Date(this.#startMs + at);
    return { key: pendingIntent(lastModified, 'x'), size: 1000, lastModified, etag: String(at) };
  }

  #describe(at: number): Intent {
    return { ...intentOf({ ...pushed, tags: [tag(`v${at}`)] }), id: `event-${at}` };
  }
}
