import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { maxPage, type Page } from '../protocol/pages.ts';
import type { ObjectStore } from '../storage/store.ts';
import { repositoriesPrefix, repositoryDelimiter, repositoryPrefix } from './layout.ts';
import { namesInOrder, type NamePage } from './name-order.ts';

/** The repositories of a bucket. */
export class Catalog {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * A page of repository names in byte order. Names of any depth come of one listing: what lies directly below a
   * repository starts with an underscore, which rolls it up.
   * @throws RegistryError NAME_INVALID when `last` is no name
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
        exists: async (name) => await this.has(name as RepositoryName),
      },
      page,
    );
  }

  /** Every repository in byte order, page by page. Fails once the signal is aborted. */
  async *all(signal?: AbortSignal): AsyncGenerator<RepositoryName, void> {
    for (let last = '', more = true; more;) {
      signal?.throwIfAborted();
      const page: NamePage = await this.list({ n: maxPage, last });
      yield* page.names as readonly RepositoryName[];
      more = page.more;
      last = page.names.at(-1) ?? last;
    }
  }

  /** Whether anything lies below a repository. */
  async has(name: RepositoryName): Promise<boolean> {
    return (await this.#store.list({ prefix: repositoryPrefix(name), limit: 1 })).objects.length > 0;
  }
}
