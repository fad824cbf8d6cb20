import type { Page } from '../protocol/pages.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { NamePage, RegistryLister } from '../registry/interface.ts';
import { pageOfMatches } from './matches.ts';
import type { BucketNames, SearchBackend, SearchPage, SearchResults } from './search-backend.ts';
import { CoalescedRead } from '../concurrency/coalesced-read.ts';

/** The bucket itself as the list: no setup, always current. A search reads all names, 1000 per request. */
export class BucketSearch implements SearchBackend {
  readonly #catalog: RegistryLister['catalog'];
  readonly #all = new CoalescedRead(async () => await Array.fromAsync(bucketNames(this.#catalog).all()));

  constructor(catalog: RegistryLister['catalog']) {
    this.#catalog = catalog;
  }

  async list(page: Page): Promise<NamePage> {
    return await this.#catalog.list(page);
  }

  async search(term: string, page: SearchPage): Promise<SearchResults> {
    return pageOfMatches(await this.#all.get(), term, page);
  }

  async record(): Promise<void> {
    await Promise.resolve();
  }

  async forget(): Promise<void> {
    await Promise.resolve();
  }

  async reindex(): Promise<undefined> {
    await Promise.resolve();
    return undefined;
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

/** The names in a bucket, for a reindex. Fails once the signal is aborted. */
export function bucketNames(catalog: RegistryLister['catalog'], signal?: AbortSignal): BucketNames {
  return {
    all: () => catalog.all(signal),
    has: async (name: RepositoryName) => {
      signal?.throwIfAborted();
      return await catalog.has(name);
    },
  };
}
