import type { Digest } from '../../protocol/digests.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { parseQuotaPush, quotasPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import type { Quota, QuotaRules } from '../../registry/quotas/quota.ts';
import { writeSum } from '../../registry/quotas/sum.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { owns, type SeenBlob, type SeenRepository, type Visitor } from '../collection/look.ts';

/** Milliseconds after which a push that a look has not seen does not count: its blob is gone, or never came. */
const unseenForMs = 60 * 60 * 1000;

/** Milliseconds after which the objects of a quota that is not in the rules any more may go. */
const unusedForMs = 24 * 60 * 60 * 1000;

/** Most pushes that one look takes into its sums, for some 200 bytes of memory each. Others count on until the next. */
const maxPushes = 500_000;

/** Keys of one request that deletes. */
const batchSize = 1000;

const parallelSums = 8;

export interface QuotaUsage extends Quota {
  /** Bytes of blobs and manifests that its repositories have a link to, each counted once. */
  readonly used: number;
}

/** The pushes of a quota, and which of them a look has seen. */
interface Pushes {
  readonly keys: Map<Digest, string>;
  /** Keys of blobs that are in the sum. */
  readonly seen: string[];
  /** Keys of pushes that are too old to be under way. */
  readonly old: Set<string>;
}

/** Sums up what the repositories of each quota use, beside what else a look is for. */
export class QuotaCount implements Visitor {
  readonly #store: ObjectStore;
  readonly #rules: QuotaRules;
  readonly #began: Date;
  readonly #bytes: number[];
  readonly #pushes: Pushes[];
  /** Keys that no quota uses any more. */
  readonly #unused: string[] = [];
  /** By repository, the place of its quota; -1 without one. */
  readonly #quotaOf: number[] = [];

  private constructor(store: ObjectStore, rules: QuotaRules) {
    this.#store = store;
    this.#rules = rules;
    this.#began = this.#now();
    this.#bytes = rules.all.map(() => 0);
    this.#pushes = rules.all.map(() => ({ keys: new Map(), seen: [], old: new Set() }));
  }

  /** Call it before the look begins. */
  static async begin(store: ObjectStore, rules: QuotaRules): Promise<QuotaCount> {
    const count = new QuotaCount(store, rules);
    await count.#listPushes();
    return count;
  }

  async #listPushes(): Promise<void> {
    // Of two quotas with the same patterns, the first counts.
    const places = new Map(this.#rules.all.map(({ id }, place) => [id, place] as const).reverse());
    let listed = 0;
    for await (const { key, lastModified } of listObjects(this.#store, quotasPrefix)) {
      if (++listed > maxPushes) break;
      const ageMs = this.#began.getTime() - lastModified.getTime();
      const place = places.get(key.slice(quotasPrefix.length).split('/', 1)[0] ?? '');
      const pushes = this.#pushes[place ?? -1];
      const push = parseQuotaPush(key);
      if (pushes === undefined) {
        if (ageMs > unusedForMs) this.#unused.push(key);
      } else if (push !== undefined) {
        pushes.keys.set(push.digest, key);
        if (ageMs > unseenForMs) pushes.old.add(key);
      }
    }
  }

  repository({ id, listed }: SeenRepository): void {
    this.#quotaOf[id] = this.#rules.indexOf(listed.name);
  }

  blob({ digest, size, owners }: SeenBlob): void {
    const places = new Set(
      owners.filter(({ flags }) => (flags & owns.link) !== 0).map(({ id }) => this.#quotaOf[id] ?? -1),
    );
    for (const place of places) {
      const pushes = this.#pushes[place];
      if (pushes === undefined) continue;
      this.#bytes[place] = (this.#bytes[place] ?? 0) + size;
      const key = pushes.keys.get(digest);
      if (key !== undefined) pushes.seen.push(key);
    }
  }

  /** In the order of the rules. */
  get usage(): readonly QuotaUsage[] {
    return this.#rules.all.map((quota, place) => ({ ...quota, used: this.#bytes[place] ?? 0 }));
  }

  /**
   * Keeps the sums for the registry, and then removes the pushes that are in them: after an interruption in between, these count twice
   * until the next look.
   */
  async save(): Promise<void> {
    const places = [...this.#rules.all.keys()];
    const gone = await inParallel(places, parallelSums, async (place) => await this.#saveOne(place));
    const keys = [...gone.flat(), ...this.#unused];
    for (let at = 0; at < keys.length; at += batchSize)
      await this.#store.delete(keys.slice(at, at + batchSize), { transient: true });
  }

  /** @returns the keys of pushes that count no more */
  async #saveOne(place: number): Promise<readonly string[]> {
    const { id } = this.#rules.all[place] ?? {};
    const pushes = this.#pushes[place];
    if (id === undefined || pushes === undefined) return [];
    const sum = { bytes: this.#bytes[place] ?? 0, ended: this.#now() };
    if (!(await writeSum(this.#store, id, this.#began, sum))) return [];
    return [...new Set([...pushes.seen, ...pushes.old])];
  }

  #now(): Date {
    return new Date(storeTimeMs(this.#store));
  }
}
