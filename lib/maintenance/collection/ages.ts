import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';

export interface AgeOptions {
  /** Milliseconds: what is younger is no garbage; by default a day. */
  readonly youngMs?: number;
  /** What changed later is no garbage, by the clock that dates objects; it replaces `youngMs`. */
  readonly youngSince?: Date;
  /** Milliseconds after which a manifest that no tag reaches goes, unless it is young; undefined keeps it. */
  readonly untagged?: (repository: string) => number | undefined;
  /** From when that is counted: by default from its push. From its last tag as far as that is known, or else from its push. */
  readonly untaggedFrom?: 'push' | 'last tag' | undefined;
  /** Whether it is counted from the last pull by digest as well, since those from a repository are recorded. By default it is not. */
  readonly countsPulls?: ((repository: string) => boolean) | undefined;
}

/** Milliseconds: what is younger is no garbage, unless another age is asked for. */
export const usualYoungMs = 24 * 60 * 60 * 1000;

/** What is too young to go, as of one time. */
export class Ages {
  readonly #store: ObjectStore;
  readonly #options: AgeOptions;
  readonly #now: number;

  /** @param now by the clock of this machine */
  constructor(store: ObjectStore, options: AgeOptions, now: number) {
    this.#store = store;
    this.#options = options;
    this.#now = now;
  }

  isYoung({ lastModified }: Pick<ObjectInfo, 'lastModified'>): boolean {
    return lastModified.getTime() > this.#youngest;
  }

  /** The time in milliseconds, by the clock that dates objects, up to which untagged manifests go; undefined if they stay. */
  untaggedUntil(repository: string): number | undefined {
    const age = this.#options.untagged?.(repository);
    return age === undefined ? undefined : Math.min(this.#youngest, this.#before(age));
  }

  get #youngest(): number {
    const { youngMs = usualYoungMs, youngSince } = this.#options;
    return youngSince?.getTime() ?? this.#before(youngMs);
  }

  /** By the clock that dates objects, of which the store may learn more with each request. */
  #before(ms: number): number {
    return this.#now + (this.#store.clockOffsetMs ?? 0) - ms;
  }
}
