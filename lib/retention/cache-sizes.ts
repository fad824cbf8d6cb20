import { shownRule, type RetentionRule } from '../access/policy/storage-rules.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { RegistryLister } from '../registry/interface.ts';
import type { CachedImages } from './cached-images.ts';
import { LastUsedBytes } from './last-used-bytes.ts';

/** The repositories that are caches of other registries, by the settings. */
export interface Caches {
  /** What their names begin with; empty if the whole registry is one. */
  readonly prefixes: readonly string[];
  /** All repositories of the registry. */
  readonly all: () => AsyncIterable<RepositoryName>;
}

/** The caches of a registry. */
export function cachesOf(
  upstreams: readonly { readonly prefix: string }[],
  catalog: Pick<RegistryLister['catalog'], 'all'>,
): Caches {
  return { prefixes: upstreams.map(({ prefix }) => prefix), all: () => catalog.all() };
}

/** Whether a repository is a cache. */
export function isCached(name: string, { prefixes }: Pick<Caches, 'prefixes'>): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix));
}

/**
 * Refuses rules with a size that are about other repositories than caches: what those have does not come again.
 * @throws Error
 */
export function assertOfCaches(rules: readonly RetentionRule[], prefixes: readonly string[]): void {
  for (const rule of rules) {
    if (rule.keep.sizeBytes === undefined) continue;
    const other = rule.repositories.find(({ text }) => !prefixes.some((prefix) => text.startsWith(prefix)));
    if (other === undefined) continue;
    const known = prefixes.map((prefix) => `${prefix}**`).join(', ');
    throw new Error(
      `${shownRule(rule)} has a size, which is for caches alone, and ${other.text} is none by the settings: ` +
        (known === '' ? 'they name no upstream (docs/cache.md)' : `the caches are ${known}`),
    );
  }
}

/** Reads what a repository has; undefined for one to which no rule with a size applies. */
type ImagesOf = (
  name: RepositoryName,
) => Promise<{ readonly rule: RetentionRule; readonly images: CachedImages } | undefined>;

/** Since when what the sizes of rules keep was used. */
export class CacheSizes {
  static readonly none = new CacheSizes(new Map());
  /** Milliseconds since 1970. */
  readonly #since: ReadonlyMap<RetentionRule, number>;

  private constructor(since: ReadonlyMap<RetentionRule, number>) {
    this.#since = since;
  }

  /**
   * Sums what the repositories of rules have.
   * @param rules with a size
   * @param isOver whether to leave it: then nothing is known, and everything stays
   */
  static async sum(
    rules: readonly RetentionRule[],
    caches: Caches,
    imagesOf: ImagesOf,
    isOver: () => boolean,
  ): Promise<CacheSizes> {
    if (rules.length === 0) return CacheSizes.none;
    const sums = new Map(rules.map((rule) => [rule, new LastUsedBytes(rule.keep.sizeBytes ?? Infinity)]));
    for await (const name of caches.all()) {
      if (isOver()) return CacheSizes.none;
      const found = await imagesOf(name);
      const sum = found && sums.get(found.rule);
      if (sum === undefined) continue;
      for (const { digest, size, used } of found?.images.bytes() ?? []) sum.add(digest, size, used);
    }
    return new CacheSizes(new Map([...sums].map(([rule, sum]) => [rule, sum.since()])));
  }

  /** Since when it must have been used to stay, in milliseconds since 1970; undefined if that is not known. */
  since(rule: RetentionRule): number | undefined {
    return this.#since.get(rule);
  }
}
