import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { maxPage, type Page } from '../protocol/pages.ts';
import { ObjectUnreadable, type ListOptions, type ObjectStore } from '../storage/store.ts';
import { repositoriesPrefix, repositoryDelimiter, repositoryPrefix } from './layout.ts';
import type { NamePage, RegistryLister } from './interface.ts';
import { undefinedIfDamaged } from './links.ts';
import { namesInOrder } from './name-order.ts';

/** Names of the largest page that one listing of 1000 entries is enough for: see {@link namesInOrder}. */
const namesInListing = maxPage - 2;

type CatalogLister = RegistryLister['catalog'];

/** The repositories in a bucket. */
export class Catalog implements CatalogLister {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Uses a flat listing for names of any depth: the objects of a repository follow a component that starts with an
   * underscore, at which the delimiter groups them.
   */
  async list(page: Page): Promise<NamePage> {
    if (page.last !== '') parseRepositoryName(page.last);
    return await namesInOrder(
      this.#store,
      {
        prefix: repositoriesPrefix,
        suffix: repositoryDelimiter,
        delimiter: repositoryDelimiter,
        entriesPerName: 1,
        isName: isRepositoryName,
        entries: ({ prefixes }) => prefixes,
        exists: async (name) => {
          const key = repositoryPrefix(name as RepositoryName);
          return (
            (await undefinedIfDamaged(this.#store, key, this.#any(key, { skipUnreadable: true }))) ?? false
          );
        },
      },
      page,
    );
  }

  async *all(signal?: AbortSignal): AsyncGenerator<RepositoryName, void> {
    for (let last = '', more = true; more;) {
      signal?.throwIfAborted();
      const page: NamePage = await this.list({ n: namesInListing, last });
      yield* page.names as readonly RepositoryName[];
      more = page.more;
      last = page.names.at(-1) ?? last;
    }
  }

  async has(name: RepositoryName): Promise<boolean> {
    const key = repositoryPrefix(name);
    try {
      return await this.#any(key);
    } catch (error) {
      if (!(error instanceof ObjectUnreadable)) throw error;
      this.#store.onDamaged?.(key, error);
      return true;
    }
  }

  async #any(prefix: string, options: Pick<ListOptions, 'skipUnreadable'> = {}): Promise<boolean> {
    return (await this.#store.list({ prefix, limit: 1, ...options })).objects.length > 0;
  }
}
