import { RegistryError } from '../protocol/errors.ts';
import { bucketNames } from './bucket-search.ts';
import { withoutDeadline } from '../storage/deadline.ts';
import type { Reindexed, SearchBackend } from './search-backend.ts';
import type { RegistryLister } from '../registry/interface.ts';

export interface ReindexOptions {
  /** Receives the changes made so far and their total. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Aborts. Completed steps stay: see `SearchBackend.reindex`. */
  readonly signal?: AbortSignal;
}

/** Called with the outcome of a comparison with the bucket, unless the bucket itself is the list. */
export type OnReindexed = (outcome: 'success' | 'failure') => void;

/** The list of repositories, opened on first use, which most functions never make. */
export class Search {
  readonly #open: () => Promise<SearchBackend>;
  readonly #catalog: RegistryLister['catalog'];
  #backend: Promise<SearchBackend> | undefined;
  readonly #onReindexed: OnReindexed | undefined;

  /** @param open connects to the backend, or opens its file */
  constructor(
    open: () => Promise<SearchBackend>,
    { catalog }: Pick<RegistryLister, 'catalog'>,
    onReindexed?: OnReindexed,
  ) {
    this.#onReindexed = onReindexed;
    this.#catalog = catalog;
    this.#open = open;
  }

  /** @throws RegistryError SEARCH_UNAVAILABLE, whose cause names the setting to check */
  async backend(): Promise<SearchBackend> {
    const opening = (this.#backend ??= withoutDeadline(this.#open));
    try {
      return await opening;
    } catch (cause) {
      // The next call retries, unless another caller already has.
      if (this.#backend === opening) this.#backend = undefined;
      throw new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause });
    }
  }

  /** Rebuilds the list from the bucket. @returns undefined if the bucket itself is the list */
  async reindex({ onProgress, signal }: ReindexOptions = {}): Promise<Reindexed | undefined> {
    try {
      const backend = await this.backend();
      const reindexed = await backend.reindex(bucketNames(this.#catalog, signal), onProgress);
      if (reindexed !== undefined) this.#onReindexed?.('success');
      return reindexed;
    } catch (error) {
      if (signal?.aborted !== true) this.#onReindexed?.('failure');
      throw error;
    }
  }

  async close(): Promise<void> {
    await (await this.#backend?.catch(() => undefined))?.close();
  }
}
