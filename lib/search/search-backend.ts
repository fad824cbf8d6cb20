import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/interface.ts';

/** Part of what a search finds. */
export interface SearchPage {
  /** Most names of a page, from 0. */
  readonly size: number;
  /** From 1. */
  readonly number: number;
}

export interface SearchResults {
  /** Names of the page: the term itself first, then those that begin with it, then those that contain it; each in byte order. */
  readonly names: readonly string[];
  /** How many names contain the term. */
  readonly total: number;
}

/** What a reindex has changed. */
export interface Reindexed {
  /** Names that the list has now. */
  readonly names: number;
  readonly added: number;
  readonly removed: number;
}

/** The bucket, as a list is rebuilt from it. */
export interface BucketNames {
  /** Every repository, each once and in byte order. */
  all(): AsyncIterable<string>;
  /** Whether a repository has anything in the bucket. */
  has(name: RepositoryName): Promise<boolean>;
}

/**
 * Where the list of repositories comes from. Every method but `close` fails with RegistryError SEARCH_UNAVAILABLE when
 * the list cannot be reached: that is never an empty list.
 */
export interface SearchBackend {
  /** Why nothing can be changed in the list, where that was seen when it was opened. It can be read all the same. */
  readonly readOnly?: string | undefined;

  /** A page of names in byte order. `last` need not be in the list. */
  list(page: Page): Promise<NamePage>;

  /** Names that contain a term, in which no character is special. @param term in lower case, as names are */
  search(term: string, page: SearchPage): Promise<SearchResults>;

  /** A tag was pushed to a repository: it is in the list when this resolves. */
  record(name: RepositoryName): Promise<void>;

  /**
   * Makes the list that of the bucket. Readers see the old list or the new one, and a name that is recorded meanwhile stays.
   * Where very many names go, they do so in several steps, and readers may see the list between two.
   * @param onProgress is told how many of how many changes are made
   * @returns undefined where the list is always that of the bucket
   */
  reindex(
    bucket: BucketNames,
    onProgress?: (done: number, total: number) => void,
  ): Promise<Reindexed | undefined>;

  /** Lets go of connections. */
  close(): Promise<void>;
}
