import { randomBytes, randomUUID } from 'node:crypto';
import { RegistryError } from '../../protocol/errors.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { FenceEnded, type Fence, type NewObject, type ObjectStore } from '../../storage/store.ts';
import type { EventContext } from '../events.ts';
import { pendingIntent } from '../layout.ts';
import { UndoRefused } from '../undo/refused.ts';
import type { Change, Source } from './intent.ts';
import { serializeIntent } from './intent-object.ts';

/** Announces changes before they can be seen: docs/decisions/0008-intents-of-writes.md. */
export interface Outbox {
  /** @returns undefined if no endpoint takes an event of the change */
  announce(change: Change, context: EventContext): Announcement | undefined;
}

/** What a writer is given to announce what it is going to change. @returns undefined if nobody is told of it */
export type Announce = (change: Change) => Announcement | undefined;

/** A change that is going to be made, perhaps in several attempts. */
export interface Announcement {
  /**
   * The intent of an attempt, to be in the bucket before anything of that can be seen. Each attempt needs one of its own, under the fence
   * of its commits: an intent is dropped once these can land no more.
   */
  intent(fence: Fence | undefined): NewObject;

  /** To be called once something may be seen: a refusal takes nothing back any more. */
  keep(): void;

  /** The write was refused. @throws StoreUnavailable if its intents may still be there */
  withdraw(): Promise<void>;

  /** The write was made, and is going to be answered. Never rejects. */
  done(): Promise<void>;
}

export interface OutboxOptions {
  /** Whether some endpoint takes an event of a change. */
  readonly takes: (change: Change, context: EventContext) => boolean;
  readonly source: Source;
  /**
   * Called with the first intent of a write, which it goes beside, and waited for before the answer: a function cannot do anything after
   * that. Must not reject.
   */
  readonly onAnnounced?: () => Promise<void>;
  /** Called once a write was made. */
  readonly onDone?: () => void;
}

/** Writes that a process remembers to have made. */
const maxRemembered = 10_000;

/** The outbox of a process. */
export class BucketOutbox implements Outbox {
  readonly #store: ObjectStore;
  readonly #options: OutboxOptions;
  /** The keys of intents. */
  readonly #made = new Set<string>();

  constructor(store: ObjectStore, options: OutboxOptions) {
    this.#store = store;
    this.#options = options;
  }

  announce(change: Change, context: EventContext): Announcement | undefined {
    const { takes, source } = this.#options;
    if (!takes(change, context)) return undefined;
    const at = new Date(storeTimeMs(this.#store));
    const bytes = serializeIntent({ id: randomUUID(), at, change, context, source });
    const { onAnnounced, onDone } = this.#options;
    return new WriteAnnouncement(this.#store, bytes, {
      onAnnounced,
      onDone: (key) => {
        this.#remember(key);
        onDone?.();
      },
    });
  }

  /** Whether this process has made the write of an intent. False also if that was long ago. */
  hasMade(key: string): boolean {
    return this.#made.has(key);
  }

  #remember(key: string): void {
    this.#made.add(key);
    const [oldest] = this.#made;
    if (this.#made.size > maxRemembered && oldest !== undefined) this.#made.delete(oldest);
  }
}

interface Calls {
  readonly onAnnounced: OutboxOptions['onAnnounced'] | undefined;
  /** @param key of the last intent */
  readonly onDone: (key: string) => void;
}

class WriteAnnouncement implements Announcement {
  readonly #store: ObjectStore;
  readonly #bytes: Buffer;
  readonly #calls: Calls;
  /** Of the attempts, the last one last. */
  readonly #keys: string[] = [];
  #announced: Promise<void> | undefined;
  #isKept = false;

  constructor(store: ObjectStore, bytes: Buffer, calls: Calls) {
    this.#store = store;
    this.#bytes = bytes;
    this.#calls = calls;
  }

  intent(fence: Fence | undefined): NewObject {
    const key = pendingIntent(new Date(storeTimeMs(this.#store)), randomBytes(6).toString('hex'));
    this.#keys.push(key);
    this.#announced ??= this.#calls.onAnnounced?.();
    return { key, bytes: this.#bytes, fence };
  }

  keep(): void {
    this.#isKept = true;
  }

  async withdraw(): Promise<void> {
    if (!this.#isKept && this.#keys.length > 0) await this.#store.delete(this.#keys);
  }

  async done(): Promise<void> {
    const last = this.#keys.at(-1);
    if (last === undefined) return;
    // Of attempts whose fence has ended. Their event would be the same one.
    const others = this.#keys.slice(0, -1);
    if (others.length > 0) await this.#store.delete(others).catch(() => undefined);
    this.#calls.onDone(last);
    await this.#announced;
  }
}

/**
 * Does a write, and withdraws its announcement if it is refused. After any other failure nobody knows what has become of it, so the
 * intents stay.
 * @param write is given what announces the change, once for all attempts
 * @param isMade whether anything was written
 */
export async function announced<T>(
  announce: Announce | undefined,
  write: (announce: Announce) => Promise<T>,
  isMade: (result: T) => boolean = () => true,
): Promise<T> {
  let announcement: Announcement | undefined;
  const once: Announce = (change) => (announcement ??= announce?.(change));
  try {
    const result = await write(once);
    await (isMade(result) ? announcement?.done() : announcement?.withdraw());
    return result;
  } catch (error) {
    if (isRefusal(error)) await announcement?.withdraw();
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof UndoRefused || (error instanceof RegistryError && error.status < 500);
}

/**
 * Writes the intent of an attempt beside something else, which must not show anything of the change. Neither is under way once this
 * has ended, so that a withdrawal meets all.
 * @throws what the other throws, unless it is unknown whether the intent was written
 */
export async function besideIntent<T>(
  store: ObjectStore,
  announcement: Announcement | undefined,
  fence: Fence | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (announcement === undefined) return await work();
  const { key, bytes } = announcement.intent(fence);
  const [intent, other] = await Promise.allSettled([store.put(key, bytes, { fence }), work()]);
  if (intent.status === 'rejected' && !(intent.reason instanceof FenceEnded)) throw intent.reason;
  if (other.status === 'rejected') throw other.reason;
  if (intent.status === 'rejected') throw intent.reason;
  return other.value;
}
