import { LimitPerKey } from '../concurrency/limit-per-key.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage, ReferrersPage, Registry } from '../registry/interface.ts';
import { asRegistryError, isOutage, undefinedIfUnknown } from './errors.ts';
import type { Source } from './sources.ts';
import { beforeStale } from './stale-after.ts';
import type { UpstreamRequests } from './upstream-requests.ts';

/** Lists that are got from one upstream at the same time. Each may take some megabytes. */
const limits = { atOnce: 4, waiting: 64, total: 512, timeoutMs: 15_000 };

/** Characters of where a page of tags begins. A tag has 128; some registries have longer marks of their own there. */
const maxLast = 2048;

export interface CachedListsOptions {
  /** Unrestricted. */
  readonly registry: Pick<Registry, 'tags' | 'referrers'>;
  readonly requests: UpstreamRequests;
}

type ReferrerPage = Parameters<Registry['referrers']['list']>[2];

/**
 * The tags and referrers of repositories that are caches: those of the upstream, which has more than was pulled. While it cannot be asked,
 * they are those that are here.
 */
export class CachedLists {
  readonly #options: CachedListsOptions;
  readonly #limits = new LimitPerKey(limits);

  constructor(options: CachedListsOptions) {
    this.#options = options;
  }

  async tags(source: Source, name: RepositoryName, page: Page): Promise<NamePage> {
    const { registry, requests } = this.#options;
    if (page.n === 0 || page.last.length > maxLast) return { names: [], more: false };
    const unknown = new RegistryError('NAME_UNKNOWN', undefined, [{ name }]);
    return await this.#orFromHere(
      source,
      unknown,
      async (): Promise<NamePage> => {
        const what = `tags ${page.n} ${page.last}`;
        const { tags, next } = await requests.ask(
          source,
          what,
          async ({ upstream, remote }) => await upstream.tagPage(remote, page),
        );
        return { names: tags, more: next !== undefined, next };
      },
      async () => await registry.tags.list(name, page),
    );
  }

  async referrers(
    source: Source,
    name: RepositoryName,
    subject: Digest,
    page: ReferrerPage,
    artifactType: string | undefined,
  ): Promise<ReferrersPage> {
    const { registry, requests } = this.#options;
    if (page.n === 0) return { descriptors: [], next: undefined };
    const unknown = new RegistryError('NAME_UNKNOWN', undefined, [{ name }]);
    return await this.#orFromHere(
      source,
      unknown,
      async (): Promise<ReferrersPage> => {
        const all = await requests.ask(
          source,
          `referrers ${subject}`,
          async ({ upstream, remote }) => await upstream.referrerEntries(remote, subject),
        );
        return pageOf(all, page, artifactType);
      },
      async () => await registry.referrers.list(name, subject, page, artifactType),
    );
  }

  /** @param unknown is answered to a 404 of the upstream */
  async #orFromHere<T extends object>(
    source: Source,
    unknown: RegistryError,
    ask: () => Promise<T>,
    fromHere: () => Promise<T>,
  ): Promise<T & { readonly isStale?: boolean }> {
    const here = async (error: unknown) => {
      const known = isOutage(error) ? await undefinedIfUnknown(fromHere()) : undefined;
      return known === undefined ? undefined : { ...known, isStale: true };
    };
    const work = async () => {
      const asked = this.#limits.run(source.account, ask);
      // Where nothing is here, the answer is worth a longer wait.
      return await beforeStale(source, asked).catch(
        async (error: unknown) => (await here(error)) ?? (await asked),
      );
    };
    return await this.#options.requests.wait(source, work).catch(async (error: unknown) => {
      const known = await here(error);
      if (known === undefined) throw asRegistryError(error, unknown);
      return known;
    });
  }
}

/** Those after `last`, in the order of their digests, as this registry lists its own. */
function pageOf(
  all: ReferrersPage['descriptors'],
  { n, last }: ReferrerPage,
  artifactType: string | undefined,
): ReferrersPage {
  const byDigest = new Map(all.map((entry) => [entry.digest, entry]));
  const rest = [...byDigest.values()]
    .filter(({ digest }) => last === undefined || digest > last)
    .toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
  const descriptors = rest.slice(0, n);
  return {
    descriptors: descriptors.filter((one) => artifactType === undefined || one.artifactType === artifactType),
    next: rest.length > n ? descriptors.at(-1)?.digest : undefined,
  };
}
