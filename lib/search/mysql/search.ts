import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import type { Page } from '../../protocol/pages.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { NamePage } from '../../registry/interface.ts';
import { MysqlConnections, type Values } from './connections.ts';
import type { MysqlConfig } from './dsn.ts';
import { MysqlError } from './errors.ts';
import {
  clockStatement,
  countStatement,
  definition,
  deleteStatement,
  pageStatement,
  recordStatement,
  rowsStatement,
  searchStatement,
  soundStatement,
} from './statements.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from '../search-backend.ts';

/** Rows of one statement in a reindex. */
const batch = 500;

/** Repositories looked for in the bucket at once. */
const parallelProbes = 16;

/**
 * Seconds before a reindex in which a recorded name is not doubted: the bucket's listing may lag, and the registry before
 * this one wrote the time of its own clock.
 */
const doubtless = 300;

/** Comes before all names in byte order, and after `#`, with which the last release began rows such as `# empty`. */
const beforeNames = '/';

/** Rows that a further statement for a page reads more, where rows of other programs are no names. */
const furtherRows = 1000;

type Progress = (done: number, total: number) => void;

/** What a reindex does to the table. */
interface Changes {
  readonly missing: readonly string[];
  /** Names that the bucket does not have, to be taken away unless they were recorded since the cutoff. */
  readonly gone: readonly string[];
  /** Rows that are no names. */
  readonly strays: readonly string[];
  /** A time in seconds, by the server's clock. */
  readonly cutoff: number;
}

/**
 * The list in a table of MySQL or MariaDB, with prepared statements alone. A table that is missing is not the list yet, so a
 * push does not make it: the reindex does, and fills it.
 */
export class MysqlSearch implements SearchBackend {
  readonly #connections: MysqlConnections;

  /** Connects at the first statement. */
  constructor(config: MysqlConfig) {
    this.#connections = new MysqlConnections(config);
  }

  /** One statement, unless the table has rows of other programs that are no names. */
  async list({ n, last }: Page): Promise<NamePage> {
    const above = last === '' ? beforeNames : last;
    // Not from the last row on: what is not ASCII cannot be read back for certain.
    for (let limit = n + 1; ; limit = 2 * limit + furtherRows) {
      const rows = namesOf(await this.#execute(pageStatement, [above, String(limit)]));
      const names = rows.filter(isRepositoryName);
      if (names.length > n || rows.length < limit)
        return { names: names.slice(0, n), more: n > 0 && names.length > n };
    }
  }

  async search(term: string, { size, number }: SearchPage): Promise<SearchResults> {
    const [counted] = await this.#execute(countStatement, [term]);
    const offset = Math.min((number - 1) * size, Number.MAX_SAFE_INTEGER);
    const rows = await this.#execute(searchStatement, [term, term, term, String(size), String(offset)]);
    return { names: namesOf(rows).filter(isRepositoryName), total: Number(counted?.['total']) };
  }

  async record(name: RepositoryName): Promise<void> {
    await this.#execute(recordStatement(), [name]);
  }

  async reindex(bucket: BucketNames, onProgress: Progress = () => undefined): Promise<Reindexed> {
    return await told(async () => {
      const changes = await this.#changes(bucket);
      if (changes !== undefined) return await this.#apply(changes, onProgress);
      // Listed before there is a table, as an empty one would pass for the list.
      const missing = await Array.fromAsync(bucket.all());
      await this.#connections.query(definition);
      const { added } = await this.#apply({ missing, gone: [], strays: [], cutoff: 0 }, onProgress);
      // No push was recorded until now.
      const since = await this.reindex(bucket, onProgress);
      return { ...since, added: added + since.added };
    });
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  /** @returns undefined where there is no table */
  async #changes(bucket: BucketNames): Promise<Changes | undefined> {
    const [clock] = await this.#execute(clockStatement, []);
    const cutoff = Number(clock?.['now']) - doubtless;
    const rows = await this.#rows();
    if (rows === undefined) return undefined;
    await this.#assertSound();
    const listed = new Set(namesOf(rows));
    const inBucket = new Set(await Array.fromAsync(bucket.all()));
    const old = rows.filter(({ createTime }) => Number(createTime) < cutoff);
    const doubtful = namesOf(old).filter((name) => isRepositoryName(name) && !inBucket.has(name));
    const has = await inParallel(
      doubtful as RepositoryName[],
      parallelProbes,
      async (name) => await bucket.has(name),
    );
    return {
      missing: [...inBucket.difference(listed)],
      gone: doubtful.filter((_, i) => has[i] === false),
      strays: [...listed].filter((name) => !isRepositoryName(name)),
      cutoff,
    };
  }

  /**
   * Makes all changes in one transaction. No lock is held while the bucket is asked: a push that comes in between has given its
   * row a time after the cutoff, or makes it again.
   */
  async #apply({ missing, gone, strays, cutoff }: Changes, onProgress: Progress): Promise<Reindexed> {
    return await this.#connections.transaction(async (execute) => {
      const total = missing.length + gone.length + strays.length;
      let done = 0;
      const inBatches = async (names: readonly string[], sql: (count: number) => string, more: Values) => {
        for (let at = 0; at < names.length; at += batch) {
          const some = names.slice(at, at + batch);
          onProgress(done, total);
          await execute(sql(some.length), [...some, ...more]);
          done += some.length;
        }
      };
      // Before the names that a collation takes for the same, such as those in capital letters.
      await inBatches(strays, deleteStatement, [String(2n ** 63n - 1n)]);
      await inBatches(gone, deleteStatement, [cutoff]);
      await inBatches(missing, recordStatement, []);
      const now = new Set(namesOf(await execute(rowsStatement, [])));
      assertStored(missing, now);
      onProgress(done, total);
      const names = [...now].filter(isRepositoryName).length;
      return { names, added: missing.length, removed: gone.filter((name) => !now.has(name)).length };
    });
  }

  /** @returns undefined where there is no table */
  async #rows(): Promise<Readonly<Record<string, unknown>>[] | undefined> {
    try {
      return await this.#connections.execute(rowsStatement, []);
    } catch (error) {
      if (error instanceof MysqlError && error.isWithoutTable) return undefined;
      throw error;
    }
  }

  /** Refuses, for a reindex, a table in which a name can stand twice, or that knows no transactions. */
  async #assertSound(): Promise<void> {
    const [table] = await this.#execute(soundStatement, []);
    if (table === undefined) return;
    if (Number(table['unique_keys']) === 0)
      throw unavailable(
        'the table repositories has no key that is its whole name alone, so that names would stand there twice; ' +
          'rename it, and run npm run reindex, which makes a new one',
      );
    if (table['transactions'] !== 'YES')
      throw unavailable(
        'the engine of the table repositories knows no transactions; run ALTER TABLE repositories ENGINE=InnoDB',
      );
  }

  async #execute(sql: string, values: Values): Promise<Readonly<Record<string, unknown>>[]> {
    return await told(async () => await this.#connections.execute(sql, values));
  }
}

/** @throws RegistryError where a table has made others of some names, or takes different ones for the same */
function assertStored(names: readonly string[], stored: ReadonlySet<string>): void {
  const lost = names.find((name) => !stored.has(name));
  if (lost === undefined) return;
  throw unavailable(
    `the table repositories does not keep names as they are and apart, such as ${JSON.stringify(lost)}; run ` +
      'ALTER TABLE repositories MODIFY name VARCHAR(1024) CHARACTER SET utf8 COLLATE utf8_general_ci NOT NULL, and then npm run reindex',
  );
}

function namesOf(rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  return rows.map(({ name }) => String(name));
}

/** What fails here is a list that cannot be had; a bucket that fails during a reindex says so itself. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof MysqlError ? unavailable(error.message) : error;
  }
}

function unavailable(why: string): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause: new Error(why) });
}
