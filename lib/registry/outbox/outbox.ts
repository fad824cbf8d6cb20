import { randomBytes, randomUUID } from 'node:crypto';
import { storeTimeMs } from '../../storage/store-time.ts';
import type { Fence, NewObject, ObjectStore } from '../../storage/store.ts';
import type { EventContext } from '../events.ts';
import { pendingIntent } from '../layout.ts';
import type { Announcement } from './announcement.ts';
import type { Change } from './change.ts';
import type { Intent, Source } from './intent.ts';
import { serializeIntent } from './intent-object.ts';
import { intentName } from './mark.ts';

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
  /** Called once a write was made. @param key of its intent */
  readonly onDone?: (key: string) => void;
}

/** Writes that a process remembers to have been made. */
const maxRemembered = 10_000;

/** Manifests of which it remembers the last pushes, and how many of each. */
const maxManifests = 1_000;
const maxPushes = 10;

/** The outbox of a process. */
export class BucketOutbox implements Outbox {
  readonly #store: ObjectStore;
  readonly #options: OutboxOptions;
  /** The keys of intents. */
  readonly #made = new Set<string>();
  /** The names of intents, by manifest. */
  readonly #pushes = new Map<string, readonly string[]>();

  constructor(store: ObjectStore, options: OutboxOptions) {
    this.#store = store;
    this.#options = options;
  }

  announce(change: Change, context: EventContext): Announcement | undefined {
    const { takes, source } = this.#options;
    if (!takes(change, context)) return undefined;
    const at = new Date(storeTimeMs(this.#store));
    const { onAnnounced, onDone } = this.#options;
    return new WriteAnnouncement(
      this.#store,
      { id: randomUUID(), at, change, context, source },
      {
        onAnnounced,
        madeBefore: () => this.#pushes.get(manifestOf(change)) ?? [],
        onDone: (key) => {
          this.remember(key);
          this.#rememberPush(change, key);
          onDone?.(key);
        },
      },
    );
  }

  /** Whether this process is known to have made the write of an intent, or another one of the same server. False also if that was long ago. */
  hasMade(key: string): boolean {
    return this.#made.has(key);
  }

  #rememberPush(change: Change, key: string): void {
    const manifest = manifestOf(change);
    if (manifest === '') return;
    const pushes = [...(this.#pushes.get(manifest) ?? []), intentName(key)].slice(-maxPushes);
    // Again, so that the oldest is first.
    this.#pushes.delete(manifest);
    this.#pushes.set(manifest, pushes);
    const [oldest] = this.#pushes.keys();
    if (this.#pushes.size > maxManifests && oldest !== undefined) this.#pushes.delete(oldest);
  }

  /** A write was made. @param key of its intent */
  remember(key: string): void {
    this.#made.add(key);
    const [oldest] = this.#made;
    if (this.#made.size > maxRemembered && oldest !== undefined) this.#made.delete(oldest);
  }
}

/** Empty for other changes. */
function manifestOf(change: Change): string {
  const isPush = change.action === 'pushed' && change.content === 'manifest';
  return isPush ? `${change.repository}@${change.digest}` : '';
}

interface Calls {
  readonly madeBefore: () => readonly string[];
  readonly onAnnounced: OutboxOptions['onAnnounced'] | undefined;
  /** @param key of the last intent */
  readonly onDone: (key: string) => void;
}

class WriteAnnouncement implements Announcement {
  readonly #store: ObjectStore;
  readonly #intent: Intent;
  readonly #calls: Calls;
  /** Of the attempts, the last one last. */
  readonly #keys: string[] = [];
  #announced: Promise<void> | undefined;
  readonly #kept = new Set<string>();
  #narrowed: string | undefined;

  constructor(store: ObjectStore, intent: Intent, calls: Calls) {
    this.#store = store;
    this.#intent = intent;
    this.#calls = calls;
  }

  intent(fence: Fence | undefined): NewObject {
    const key = pendingIntent(new Date(storeTimeMs(this.#store)), randomBytes(6).toString('hex'));
    this.#keys.push(key);
    this.#announced ??= this.#calls.onAnnounced?.();
    return { key, bytes: serializeIntent(this.#intent), fence };
  }

  narrowed(change: Change, fence: Fence | undefined): NewObject {
    const { key: attempt } = this;
    const { key } = this.intent(fence);
    if (attempt !== undefined) this.#kept.delete(attempt);
    this.#kept.add(key);
    this.#narrowed = key;
    return { key, bytes: serializeIntent({ ...this.#intent, change }), fence };
  }

  get key(): string | undefined {
    return this.#keys.at(-1);
  }

  get madeBefore(): readonly string[] {
    return this.#calls.madeBefore();
  }

  keep(): void {
    if (this.key !== undefined) this.#kept.add(this.key);
  }

  async withdraw(): Promise<void> {
    const taken = this.#keys.filter((key) => !this.#kept.has(key));
    if (taken.length > 0) await this.#store.delete(taken);
    if (this.#narrowed !== undefined && this.#narrowed === this.key) this.#calls.onDone(this.#narrowed);
  }

  async done(): Promise<void> {
    const last = this.key;
    if (last === undefined) return;
    // Of attempts whose fence has ended. Their event would be the same one.
    const others = this.#keys.slice(0, -1);
    if (others.length > 0) await this.#store.delete(others).catch(() => undefined);
    this.#calls.onDone(last);
    await this.#announced;
  }
}
