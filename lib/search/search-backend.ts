import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/interface.ts';

/** A page of search results. */
export interface SearchPage {
  /** Names per page, from 0. */
  readonly size: number;
  /** From 1. */
  readonly number: number;
}

export interface SearchResults {
  /** Names of the page: exact match, prefixes, then others; each in byte order. */
  readonly names: readonly string[];
  /** Names that contain the term. */
  readonly total: number;
}

/** The result of a reindex. */
export interface Reindexed {
  /** Names in the list afterwards. */
  readonly names: number;
  readonly added: number;
  readonly removed: number;
}

/** The repositories in the bucket. */
export interface BucketNames {
  /** Every repository once, in byte order. */
  all(): AsyncIterable<string>;
  /** Whether the bucket has any object of the repository. */
  has(name: RepositoryName): Promise<boolean>;
}

/**
 * The list of repositories. Every method but `close` fails with RegistryError SEARCH_UNAVAILABLE if the list is
 * unavailable; it never returns an empty list instead.
 */
export interface SearchBackend {
  /** Why the list can only be read, as probed when it was opened. */
  readonly readOnly?: string | undefined;

  /** A page of names in byte order. `last` need not be in the list. */
  list(page: Page): Promise<NamePage>;

  /** Names that contain a term, taken literally. @param term in lower case */
  search(term: string, page: SearchPage): Promise<SearchResults>;

  /** Records a push: the repository is in the list when this resolves. */
  record(name: RepositoryName): Promise<void>;

  /** Removes a repository, unless the bucket has it by then. A concurrent push that is recorded stays. */
  forget(name: RepositoryName, bucket: Pick<BucketNames, 'has'>): Promise<void>;

  /**
   * Rebuilds the list from the bucket. Readers see the old list or the new one, and concurrently recorded names stay. Many
   * removals take several steps, between which readers see a partial result.
   * @param onProgress receives the changes made so far and their total
   * @returns undefined if the bucket itself is the list
   */
  reindex(
    bucket: BucketNames,
    onProgress?: (done: number, total: number) => void,
  ): Promise<Reindexed | undefined>;

  close(): Promise<void>;
}
