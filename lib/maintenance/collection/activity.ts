import { runningKey } from '../../registry/layout.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { StoreError, type ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';

/** How long after its last sign of activity a collection counts as active, and how often it gives one, in milliseconds. */
const activeMs = 180_000;
const renewMs = 60_000;

/** Another collection was active in the last minutes. */
export class AlreadyActive extends Error {
  readonly secondsAgo: number;

  constructor(secondsAgo: number) {
    super(
      `another collection was active ${secondsAgo} s ago; wait until it is over, or add --force if it was ended. Two at a time harm ` +
        'nothing, and do the same work twice',
    );
    this.secondsAgo = secondsAgo;
  }
}

/** Tells other collections that one is active. They would do the same work twice, and harm nothing: no safety rests on it. */
export class Activity {
  readonly #store: ObjectStore;
  readonly #timer: NodeJS.Timeout;
  #renewal: Promise<void> = Promise.resolve();

  private constructor(store: ObjectStore) {
    this.#store = store;
    this.#timer = setInterval(() => {
      this.#renewal = this.#renew();
    }, renewMs);
    this.#timer.unref();
  }

  /** @param force whether to begin beside another one @throws AlreadyActive */
  static async begin(store: ObjectStore, force: boolean): Promise<Activity> {
    const other = force ? undefined : await undefinedIfMissing(store.head(runningKey));
    const agoMs = other && storeTimeMs(store) - other.lastModified.getTime();
    if (agoMs !== undefined && agoMs < activeMs)
      throw new AlreadyActive(Math.max(0, Math.round(agoMs / 1000)));
    await write(store);
    return new Activity(store);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewal;
    // The rest is done: it only makes the next one wait.
    await ignoringStore(this.#store.delete([runningKey]));
  }

  async #renew(): Promise<void> {
    await ignoringStore(write(this.#store));
  }
}

async function write(store: ObjectStore): Promise<void> {
  await store.put(runningKey, Buffer.from(''), { transient: true });
}

async function ignoringStore(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
}
