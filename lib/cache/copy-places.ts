import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { LimitPerKey } from '../concurrency/limit-per-key.ts';
import { RegistryError } from '../protocol/errors.ts';

/** Blobs that one process copies at the same time. Each takes memory for its parts, as an upload does. */
const parallelCopies = 32;
const queuedCopies = 256;

/** Of these, the part of one upstream: a slow one leaves the others half of the places. */
const copiesOfOne = { atOnce: 16, waiting: 128, total: parallelCopies + queuedCopies, timeoutMs: 30_000 };

/** Milliseconds without a reader after which others may have the place of a copy: between requests of one pull there are some. */
const unreadMs = 1_000;

/** How often that is looked at while others wait, in milliseconds. */
const lookMs = 250;

interface Running {
  readonly account: string;
  readonly isRead: () => boolean;
  readonly abandon: (reason: RegistryError) => void;
  /** By `performance.now()`, when it was first seen without a reader. */
  unreadSince: number | undefined;
}

/**
 * Places for copies from upstreams. A copy goes on without a reader, unless others wait for its place: then it ends, so that clients which
 * hang up cannot keep all places.
 */
export class CopyPlaces {
  readonly #all = new ConcurrencyLimit(parallelCopies, { queueLimit: queuedCopies });
  readonly #ofOne = new LimitPerKey(copiesOfOne);
  readonly #running = new Set<Running>();
  readonly #waiting = new Set<{ readonly account: string }>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * Copies once there is a place.
   * @param account of the upstream
   * @param isRead whether somebody waits for the copy, or reads it
   * @param copy ends with the signal
   * @throws RegistryError BUSY if there is none in time, or others got it
   */
  async run(
    account: string,
    isRead: () => boolean,
    copy: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const waiting = { account };
    this.#waiting.add(waiting);
    const inPlace = async () => {
      this.#waiting.delete(waiting);
      await this.#copy(account, isRead, copy);
    };
    const done = this.#ofOne.run(account, async () => {
      await this.#all.run(inPlace);
    });
    if (this.#waiting.has(waiting)) this.#timer ??= setInterval(() => this.#makeRoom(), lookMs).unref();
    try {
      await done;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  async #copy(
    account: string,
    isRead: () => boolean,
    copy: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const end = new AbortController();
    const abandoned = Promise.withResolvers<never>();
    const abandon = (reason: RegistryError) => {
      end.abort(reason);
      abandoned.reject(reason);
    };
    const running: Running = { account, isRead, abandon, unreadSince: undefined };
    this.#running.add(running);
    try {
      // What it waits for, such as the upstream or another process, may take long.
      await Promise.race([copy(end.signal), abandoned.promise]);
    } finally {
      this.#running.delete(running);
    }
  }

  /** Ends copies without a reader, one for each that waits, those first that have had none for the longest time. */
  #makeRoom(): void {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const now = performance.now();
    for (const running of this.#running)
      running.unreadSince = running.isRead() ? undefined : (running.unreadSince ?? now);
    const unread = [...this.#running]
      .filter(({ unreadSince = now }) => now - unreadSince >= unreadMs)
      .toSorted((a, b) => Number(a.unreadSince) - Number(b.unreadSince));
    for (const { account } of this.#waiting) {
      const own = [...this.#running].filter((running) => running.account === account);
      const needsOwn = own.length >= copiesOfOne.atOnce;
      const place = unread.findIndex((running) => !needsOwn || running.account === account);
      if (place === -1) continue;
      const [running] = unread.splice(place, 1);
      running?.abandon(new RegistryError('BUSY', 'others wait for the place of this copy; try again'));
    }
  }
}
