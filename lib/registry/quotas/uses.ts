import { createHmac, randomBytes } from 'node:crypto';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { withoutDeadline } from '../../storage/deadline.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { ExpiringCache, systemClock, type Clock } from '../expiring-cache.ts';
import type { BlobInfo } from '../interface.ts';
import { parseQuotaPush, quotaPush, quotaPushesPrefix } from '../layout.ts';
import { readSum } from './sum.ts';

/** How long a process believes what it has read. */
const ttlMs = 30_000;

/** Most quotas whose use a process remembers. */
const maxQuotas = 1000;

/** Most pages of a thousand pushes that are listed. Of more, their sum is estimated. */
const maxPages = 10;

/** Hexadecimal digits before the digest in a key. */
const randomDigits = 8;

/** Most uploads whose size a process remembers, and for how long. */
const maxUploads = 1000;
const uploadTtlMs = 3_600_000;

/** The use of a quota, as this process knows it. */
interface Use {
  bytes: number;
  /** What it has recorded since it has read that, by key. */
  readonly recorded: Map<string, number>;
}

/**
 * What quotas have in use: what the repositories used at the last sum, and what was pushed since. It may be too high until the next
 * sum, and is never too low by more than what others have pushed in the last 30 s.
 */
export class QuotaUses {
  readonly #store: ObjectStore;
  readonly #known: ExpiringCache<string, Use>;
  readonly #reads = new SingleFlight<string, Use>();
  /** What this process has recorded during a read, by quota and key. */
  readonly #recordedMeanwhile = new Map<string, Map<string, number>>();
  readonly #uploads: ExpiringCache<string, number>;
  /** Makes the random digits of keys: the same for the same blob, so that it counts once. */
  readonly #secret = randomBytes(16);

  constructor(store: ObjectStore, clock: Clock = systemClock) {
    this.#store = store;
    this.#known = new ExpiringCache({ ttlMs, maxSize: maxQuotas, clock });
    this.#uploads = new ExpiringCache({ ttlMs: uploadTtlMs, maxSize: maxUploads, clock });
  }

  /** Bytes. */
  async used(quota: string): Promise<number> {
    const known =
      this.#known.get(quota) ?? (await this.#reads.run(quota, async () => await this.#read(quota)));
    return known.bytes;
  }

  /** Counts a blob before it appears in a repository: a process that is killed in between has counted too much, not too little. */
  async record(quota: string, repository: RepositoryName, { digest, size }: BlobInfo): Promise<void> {
    if (size === 0) return;
    const random = createHmac('sha256', this.#secret).update(digest).digest('hex').slice(0, randomDigits);
    const key = quotaPush(quota, random, digest, size);
    await this.#store.put(key, Buffer.from(`${repository}\n`), { transient: true });
    this.#recordedMeanwhile.get(quota)?.set(key, size);
    const known = this.#known.get(quota);
    if (known === undefined || known.recorded.has(key)) return;
    known.recorded.set(key, size);
    known.bytes += size;
  }

  /** Remembers the size of an upload that is under way. */
  received(upload: string, bytes: number): void {
    this.#uploads.set(upload, bytes);
  }

  /** The size of an upload, if this process has received its last bytes. Others may have received more. */
  takeReceived(upload: string): number | undefined {
    return this.#uploads.take(upload);
  }

  async #read(quota: string): Promise<Use> {
    const since = this.#known.now();
    const recorded = new Map<string, number>();
    this.#recordedMeanwhile.set(quota, recorded);
    try {
      // In this order: what is summed meanwhile may count twice, but not be missed.
      const [{ bytes: pushed, listed }, summed] = await withoutDeadline(
        async () => [await this.#listPushes(quota), (await readSum(this.#store, quota))?.bytes ?? 0] as const,
      );
      const unlisted = [...recorded].filter(([key]) => !listed.has(key));
      const bytes = unlisted.reduce((total, [, size]) => total + size, pushed + summed);
      const use = { bytes, recorded };
      this.#known.set(quota, use, since);
      return use;
    } finally {
      this.#recordedMeanwhile.delete(quota);
    }
  }

  async #listPushes(quota: string): Promise<{ bytes: number; listed: ReadonlySet<string> }> {
    const prefix = quotaPushesPrefix(quota);
    const listed = new Set<string>();
    let bytes = 0;
    let covered = 1;
    let after: string | undefined = '';
    for (let page = 0; page < maxPages && after !== undefined; page++) {
      const { objects, next } = await this.#store.list({ prefix, startAfter: after });
      for (const { key } of objects) {
        const push = parseQuotaPush(key);
        if (push === undefined) continue;
        listed.add(key);
        bytes += push.size;
        covered = shareUpTo(push.random);
      }
      after = next;
    }
    return { bytes: after === undefined ? bytes : Math.round(bytes / covered), listed };
  }
}

/** The share of all random digits that come up to these. */
function shareUpTo(random: string): number {
  return (Number.parseInt(random, 16) + 1) / 16 ** randomDigits;
}
