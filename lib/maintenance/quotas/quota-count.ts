import { createHash } from 'node:crypto';
import type { Digest } from '../../protocol/digests.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { parseQuotaPush, quotasPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import type { Quota, QuotaRules } from '../../registry/quotas/quota.ts';
import { removeKeys } from '../../registry/remove-objects.ts';
import { writeSum } from '../../registry/quotas/sum.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { owns, type SeenBlob, type SeenRepository } from '../collection/look.ts';
import type { ResumableVisitor } from '../collection/look-steps.ts';

/** Milliseconds after which a push that a look has not seen does not count: its blob is gone, or never came. */
const unseenForMs = 60 * 60 * 1000;

/** Milliseconds after which the objects of a quota that is not in the rules any more may go. */
const unusedForMs = 24 * 60 * 60 * 1000;

/** Most pushes of that last hour that a look takes into its sums. Others count on until the next. */
const maxRecent = 100_000;

const parallelSums = 8;

export interface QuotaUsage extends Quota {
  /** Bytes of blobs and manifests that its repositories have a link to, each counted once. */
  readonly used: number;
}

/**
 * Sums up what the repositories of each quota use, beside what else a look is for. If the look goes on in another process, whose rules
 * name other quotas, its sums would cover only a part of the repositories, so there are none.
 */
export class QuotaCount implements ResumableVisitor {
  readonly #store: ObjectStore;
  readonly #rules: QuotaRules;
  #began: Date;
  #bytes: number[];
  /** By quota, the keys of pushes that may be under way: one of each process that received the blob. */
  #recent: Map<Digest, string[]>[];
  /** Those whose blob is in the sum. */
  #seen = new Set<string>();
  /** By repository, the place of its quota; -1 without one. */
  #quotaOf: number[] = [];
  #isWhole = true;

  private constructor(store: ObjectStore, rules: QuotaRules) {
    this.#store = store;
    this.#rules = rules;
    this.#began = this.#now();
    this.#bytes = rules.all.map(() => 0);
    this.#recent = rules.all.map(() => new Map<Digest, string[]>());
  }

  /** Call it before the look begins, or goes on. */
  static async begin(store: ObjectStore, rules: QuotaRules): Promise<QuotaCount> {
    const count = new QuotaCount(store, rules);
    await count.#listRecent();
    return count;
  }

  async #listRecent(): Promise<void> {
    let recent = 0;
    for await (const { key, place, ageMs } of this.#objects()) {
      const digest = ageMs > unseenForMs ? undefined : parseQuotaPush(key)?.digest;
      if (digest === undefined || place === undefined) continue;
      if (++recent > maxRecent) break;
      addKey(this.#recent[place], digest, key);
    }
  }

  /** The objects of quotas, with how old they were when the look began. The place is undefined if the rules have no such quota. */
  async *#objects(): AsyncGenerator<{ key: string; place: number | undefined; ageMs: number }> {
    if (this.#rules.all.length === 0) return;
    // Of two quotas with the same patterns, the first counts.
    const places = new Map(this.#rules.all.map(({ id }, place) => [id, place] as const).reverse());
    for await (const { key, lastModified } of listObjects(this.#store, quotasPrefix)) {
      const place = places.get(key.slice(quotasPrefix.length).split('/', 1)[0] ?? '');
      yield { key, place, ageMs: this.#began.getTime() - lastModified.getTime() };
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
      const recent = this.#recent[place];
      if (recent === undefined) continue;
      this.#bytes[place] = (this.#bytes[place] ?? 0) + size;
      for (const key of recent.get(digest) ?? []) this.#seen.add(key);
    }
  }

  save(): Buffer {
    const saved: SavedCount = {
      quotas: this.#quotas,
      isWhole: this.#isWhole,
      began: this.#began.getTime(),
      bytes: this.#bytes,
      recent: this.#recent.map((keys) => [...keys.values()].flat()),
      seen: [...this.#seen],
      quotaOf: this.#quotaOf,
    };
    return Buffer.from(JSON.stringify(saved));
  }

  restore(bytes: Buffer): void {
    const saved = JSON.parse(bytes.toString()) as SavedCount;
    this.#isWhole = saved.isWhole && saved.quotas === this.#quotas;
    if (!this.#isWhole) return;
    this.#began = new Date(saved.began);
    this.#bytes = [...saved.bytes];
    this.#recent = saved.recent.map((keys) => {
      const recent = new Map<Digest, string[]>();
      for (const key of keys) addKey(recent, parseQuotaPush(key)?.digest, key);
      return recent;
    });
    this.#seen = new Set(saved.seen);
    this.#quotaOf = [...saved.quotaOf];
  }

  /** In the order of the rules. */
  get usage(): readonly QuotaUsage[] {
    return this.#rules.all.map((quota, place) => ({ ...quota, used: this.#bytes[place] ?? 0 }));
  }

  /**
   * Keeps the sums for the registry, and then removes the pushes that are in them: after an interruption in between, these count twice
   * until the next look.
   * @returns whether it has sums: see {@link QuotaCount}
   */
  async writeSums(): Promise<boolean> {
    if (!this.#isWhole) return false;
    const places = [...this.#rules.all.keys()];
    const written = await inParallel(places, parallelSums, async (place) => await this.#writeSum(place));
    await removeKeys(this.#store, this.#uncounted(written), { transient: true });
    return true;
  }

  /** What counts no more. @param written whether there is a new sum, by quota */
  async *#uncounted(written: readonly boolean[]): AsyncGenerator<string, void> {
    for await (const { key, place, ageMs } of this.#objects()) {
      const isPush = parseQuotaPush(key) !== undefined;
      const isGone =
        place === undefined
          ? ageMs > unusedForMs
          : isPush && written[place] === true && (ageMs > unseenForMs || this.#seen.has(key));
      if (isGone) yield key;
    }
  }

  async #writeSum(place: number): Promise<boolean> {
    const { id } = this.#rules.all[place] ?? {};
    if (id === undefined) return false;
    const sum = { bytes: this.#bytes[place] ?? 0, ended: this.#now() };
    return await writeSum(this.#store, id, this.#began, sum);
  }

  /** Tells these quotas from others. */
  get #quotas(): string {
    const hash = createHash('sha256');
    for (const { id } of this.#rules.all) hash.update(id);
    return hash.digest('hex');
  }

  #now(): Date {
    return new Date(storeTimeMs(this.#store));
  }
}

interface SavedCount {
  readonly quotas: string;
  readonly isWhole: boolean;
  readonly began: number;
  readonly bytes: readonly number[];
  readonly recent: readonly (readonly string[])[];
  readonly seen: readonly string[];
  readonly quotaOf: readonly number[];
}

function addKey(recent: Map<Digest, string[]> | undefined, digest: Digest | undefined, key: string): void {
  if (recent === undefined || digest === undefined) return;
  const keys = recent.get(digest);
  if (keys === undefined) recent.set(digest, [key]);
  else keys.push(key);
}
