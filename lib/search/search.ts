import { RegistryError } from '../protocol/errors.ts';
import { bucketNames } from './bucket-search.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import type { Reindexed, SearchBackend } from './search-backend.ts';
import type { RegistryLister } from '../registry/interface.ts';

export interface ReindexOptions {
  /** Is told how many of how many changes are made. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Gives up, with nothing changed but the steps that are done: see `SearchBackend.reindex`. */
  readonly signal?: AbortSignal;
}

/** The list of repositories, opened when it is first asked for: most functions never do. */
export class Search {
  readonly #open: () => Promise<SearchBackend>;
  readonly #catalog: RegistryLister['catalog'];
  #backend: Promise<SearchBackend> | undefined;

  /** @param open connects to the backend, or opens its file */
  constructor(open: () => Promise<SearchBackend>, { catalog }: Pick<RegistryLister, 'catalog'>) {
    this.#catalog = catalog;
    this.#open = open;
  }

  /** @throws RegistryError SEARCH_UNAVAILABLE, whose cause names the setting to look at */
  async backend(): Promise<SearchBackend> {
    const opening = (this.#backend ??= withoutDeadline(this.#open));
    try {
      return await opening;
    } catch (cause) {
      // It may be there next time, unless another one has begun that.
      if (this.#backend === opening) this.#backend = undefined;
      throw new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause });
    }
  }

  /** Makes the list that of the bucket. @returns undefined where it always is */
  async reindex({ onProgress, signal }: ReindexOptions = {}): Promise<Reindexed | undefined> {
    return await (await this.backend()).reindex(bucketNames(this.#catalog, signal), onProgress);
  }

  async close(): Promise<void> {
    await (await this.#backend?.catch(() => undefined))?.close();
  }
}
