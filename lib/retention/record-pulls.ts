import {
  countsPulls,
  ruleFor,
  type RetentionRule,
  type RulesInForce,
} from '../access/policy/storage-rules.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Reference } from '../protocol/references.ts';
import { ExpiringCache, systemClock, type Clock } from '../registry/expiring-cache.ts';
import { pullRecord } from '../registry/layout.ts';
import { undefinedIfMissing } from '../registry/links.ts';
import type { Notification, Pulled } from '../registry/notification.ts';
import type { Delivery, Subscriber } from '../registry/subscriber.ts';
import type { ObjectInfo, ObjectStore } from '../storage/store.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import { isAbout } from './decisions.ts';
import { pullNotesOf, recordedEveryMs } from './pulls.ts';

/** Records that a process remembers, so as not to look at them again. */
const maxKnown = 50_000;

/** Records that are written at the same time. Pulls beyond are recorded by the next. */
const maxWriting = 16;

/** Milliseconds without another attempt after one has failed. */
const pauseMs = 60_000;

export interface RecordPullsOptions {
  readonly rules: RulesInForce;
  /** Whether a pull waits for its record: a function is frozen after its response. */
  readonly waits: boolean;
  /** How long it waits, in milliseconds. */
  readonly timeoutMs: number;
  /** Logs that pulls are not recorded. */
  readonly warn: (fields: object, message: string) => void;
  readonly clock?: Clock;
}

/**
 * Records pulls in repositories whose rule asks for them: of a tag when it is asked for by GET or HEAD, as containerd does before it
 * pulls by digest, and of a manifest when it is got by its digest. HEAD by digest is how clients look whether they must push.
 * No pull fails for it.
 */
export function recordPulls(store: ObjectStore, options: RecordPullsOptions): Subscriber {
  const { waits, timeoutMs } = options;
  const recorder = new Recorder(store, options);
  return {
    name: 'records of pulls',
    takes: ({ change }) => change.action === 'pulled' && change.content === 'manifest',
    deliver: async (notification) => {
      if (!isUse(notification)) return { outcome: 'taken' };
      // One that lands late, after a freeze, keeps an image for longer at most.
      const recorded = withoutDeadline(async () => {
        await recorder.record(notification);
      });
      const reported = async (work: Promise<void>): Promise<Delivery> => {
        try {
          await work;
          return { outcome: 'taken' };
        } catch (error) {
          recorder.failed(error);
          return { outcome: 'failed', reason: 'the pull cannot be recorded' };
        }
      };
      if (waits)
        return await reported(withTimeout(recorded, timeoutMs, () => new Error('it takes too long')));
      void reported(recorded);
      return { outcome: 'taken' };
    },
  };
}

type Pull = Pick<Notification, 'tag'> & { readonly change: Pulled };

function isUse(notification: Notification): notification is Notification & Pull {
  const { tag, change, context } = notification;
  return change.action === 'pulled' && (tag !== undefined || context.request.method === 'GET');
}

function referenceOf({ tag, change: { digest } }: Pull): Reference {
  return tag === undefined ? { kind: 'digest', digest } : { kind: 'tag', tag };
}

class Recorder {
  readonly #store: ObjectStore;
  readonly #options: RecordPullsOptions;
  readonly #clock: Clock;
  /** Keys with a record that is new enough. */
  readonly #known: ExpiringCache<string, true>;
  readonly #writing = new Set<string>();
  #failedAt = -Infinity;
  /** Of the rules that were looked at last. */
  #notes: { readonly rules: readonly RetentionRule[]; readonly keys: readonly string[] } = {
    rules: [],
    keys: [],
  };

  constructor(store: ObjectStore, options: RecordPullsOptions) {
    this.#store = store;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#known = new ExpiringCache({ ttlMs: recordedEveryMs, maxSize: maxKnown, clock: this.#clock });
  }

  /** @param pull of a manifest */
  async record(pull: Pull): Promise<void> {
    const { tag, change } = pull;
    const { retention } = await this.#options.rules.current();
    const notes = this.#notesOf(retention);
    if (notes.length === 0 || this.#clock().monotonicMs - this.#failedAt < pauseMs) return;
    // First, so that a process that may not write notes nothing, and pulls do not count as recorded.
    for (const key of notes) await this.#once(key, async () => await this.#note(key));
    const rule = ruleFor(retention, change.repository);
    if (rule === undefined || !countsPulls(rule) || (tag !== undefined && !isAbout(rule, tag))) return;
    const key = pullRecord(change.repository, referenceOf(pull));
    await this.#once(key, async () => await this.#write(key));
  }

  failed(error: unknown): void {
    const now = this.#clock().monotonicMs;
    if (now - this.#failedAt < pauseMs) return;
    this.#failedAt = now;
    this.#options.warn(
      { err: error },
      'pulls are not recorded, so retention may take an image for unused; this is tried again after a minute',
    );
  }

  /** From when on pulls are recorded, for each rule that asks for them. */
  #notesOf(rules: readonly RetentionRule[]): readonly string[] {
    if (this.#notes.rules !== rules) this.#notes = { rules, keys: [...pullNotesOf(rules).values()] };
    return this.#notes.keys;
  }

  /** Does something for a key that is not known to be done. */
  async #once(key: string, work: () => Promise<number>): Promise<void> {
    if (this.#known.get(key) !== undefined || this.#writing.has(key) || this.#writing.size >= maxWriting)
      return;
    this.#writing.add(key);
    try {
      const ageMs = await work();
      const { wallMs, monotonicMs } = this.#clock();
      this.#known.set(key, true, { wallMs: wallMs - ageMs, monotonicMs: monotonicMs - ageMs });
    } finally {
      this.#writing.delete(key);
    }
  }

  /** @returns the age to count with, in milliseconds */
  async #note(key: string): Promise<number> {
    if ((await undefinedIfMissing(this.#store.head(key))) === undefined) await this.#put(key);
    return 0;
  }

  /** Other processes may have recorded it, which is cheaper to find out than to write again. @returns its age in milliseconds */
  async #write(key: string): Promise<number> {
    const head = await undefinedIfMissing(this.#store.head(key));
    const ageMs = head === undefined ? Infinity : Math.max(0, this.#ageOf(head));
    if (ageMs < recordedEveryMs) return ageMs;
    await this.#put(key);
    return 0;
  }

  #ageOf({ lastModified }: Pick<ObjectInfo, 'lastModified'>): number {
    return this.#clock().wallMs + (this.#store.clockOffsetMs ?? 0) - lastModified.getTime();
  }

  async #put(key: string): Promise<void> {
    await this.#store.put(key, Buffer.from('{"version":1}\n'));
  }
}
