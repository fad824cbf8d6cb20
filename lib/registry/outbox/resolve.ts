import { inParallel } from '../../concurrency/in-parallel.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { Look } from './look.ts';
import type { PendingIntent } from './pending.ts';
import type { Resolution } from './resolution.ts';

export interface ResolverOptions {
  /** Whether this process has made the write of an intent. */
  readonly hasMade?: (key: string) => boolean;
  /** Milliseconds since 1970 by the clock that dates objects. */
  readonly now?: () => number;
}

/** For how long nothing is done about an undecided intent, in milliseconds: most are of writes in progress. */
const patienceMs = 60_000;

/** By how much the time of this process may be ahead of the clock that dates objects, in milliseconds. */
const clockToleranceMs = 60_000;

/** For how long a write may be undecided where the store does not limit when it can land, in milliseconds. */
export const undecidedForMs = 24 * 60 * 60 * 1000;

/** Intents that are looked at together. Each has concurrent looks of its own. */
const parallelLooks = 8;

/** Looks whether the writes of intents have happened: docs/decisions/0008-intents-of-writes.md. */
export class Resolver {
  readonly #store: ObjectStore;
  readonly #options: ResolverOptions;
  #isFenced: Promise<boolean> | undefined;

  constructor(store: ObjectStore, options: ResolverOptions = {}) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * What became of some writes, in their order. Nothing that was found out before may be used instead: what is undecided may have
   * happened since, and be older than others that are delivered now.
   * @param pending as listed, from the oldest on
   */
  async resolve(pending: readonly PendingIntent[]): Promise<readonly Resolution[]> {
    const look = new Look(this.#store, pending);
    const resolve = async (isFinal: boolean, which: readonly number[]) =>
      await inParallel(which, parallelLooks, async (at) => await this.#resolve(look, pending, at, isFinal));
    const first = await resolve(false, [...pending.keys()]);
    const undecided = [...pending.keys()].filter((at) => first[at]?.outcome === 'undecided');
    const final = await this.#withoutCommits(pending, undecided);
    // Again: it may have landed in between.
    const second = await resolve(true, final);
    const decided = new Map(final.map((at, i) => [at, second[i]]));
    return first.map((resolution, at) => decided.get(at) ?? resolution);
  }

  async #resolve(
    look: Look,
    pending: readonly PendingIntent[],
    at: number,
    isFinal: boolean,
  ): Promise<Resolution> {
    const one = pending[at];
    const hasMade = one !== undefined && this.#options.hasMade?.(one.key) === true;
    return hasMade ? await look.made(at) : await look.resolve(at, isFinal);
  }

  /** Those of some intents whose writes can land no more. Where commits can be ended, this ends them. */
  async #withoutCommits(
    pending: readonly PendingIntent[],
    undecided: readonly number[],
  ): Promise<readonly number[]> {
    const nowMs = this.#options.now?.() ?? storeTimeMs(this.#store);
    const isOlder = (at: number, ms: number) =>
      nowMs - (pending[at]?.lastModified.getTime() ?? nowMs) >= Math.max(ms, patienceMs);
    // A delete of a repository has fences of its own, and may take hours.
    const isWhole = (at: number) => pending[at]?.intent.change.content === 'repository';
    const others = undecided.filter((at) => !isWhole(at) && isOlder(at, patienceMs));
    const ms = others.length === 0 ? Infinity : await this.#endCommits();
    return undecided.filter((at) => isOlder(at, isWhole(at) ? undecidedForMs : ms));
  }

  /** @returns milliseconds after which no commit can land whose intent was written before this */
  async #endCommits(): Promise<number> {
    const { fencing } = this.#store;
    if (fencing === undefined || !(await this.#hasFences())) return undecidedForMs;
    const ms = await fencing.end();
    return ms === 0 ? 0 : ms + clockToleranceMs;
  }

  /** Whether the store refuses late changes. Asked once, since it is tried. */
  async #hasFences(): Promise<boolean> {
    this.#isFenced ??= this.#store.fencing?.refusal().then((reason) => reason === undefined);
    try {
      return (await this.#isFenced) ?? false;
    } catch (error) {
      this.#isFenced = undefined;
      throw error;
    }
  }
}
