import { randomBytes, randomUUID } from 'node:crypto';
import { storeTimeMs } from '../../storage/store-time.ts';
import type { Fence, NewObject, ObjectStore } from '../../storage/store.ts';
import type { EventContext } from '../events.ts';
import { pendingIntent } from '../layout.ts';
import type { Announcement } from './announcement.ts';
import type { Change } from './change.ts';
import type { Source } from './intent.ts';
import { serializeIntent } from './intent-object.ts';

/** Announces changes before they can be seen: docs/decisions/0008-intents-of-writes.md. */
export interface Outbox {
  /** @returns undefined if no endpoint takes an event of the change */
  announce(change: Change, context: EventContext): Announcement | undefined;
}

export interface OutboxOptions {
  /** Whether some endpoint takes an event of a change. */
  readonly takes: (change: Change, context: EventContext) => boolean;
  readonly source: Source;
  /**
   * Called with the first intent of a write, which it goes beside, and waited for before the answer: a function cannot do anything after
   * that. Must not reject.
   */
  readonly onAnnounced?: (() => Promise<void>) | undefined;
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
