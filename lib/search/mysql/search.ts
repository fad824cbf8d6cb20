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
  tableStatement,
} from './statements.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from '../search-backend.ts';

/** Rows per statement of a reindex. */
const batchSize = 500;

/** Concurrent lookups in the bucket. */
const parallelProbes = 16;

/**
 * A reindex never removes a name that was recorded in so many seconds before it: the bucket's listing may lag, and the
 * original registry wrote the time of its own clock.
 */
const removalMarginS = 300;

/** Sorts before all names and after `#`, which starts rows of the last release such as `# empty`. */
const beforeNames = '/';

/** Rows that each further statement for a page adds, if rows of other programs are no names. */
const extraRows = 1000;

type Progress = (done: number, total: number) => void;

/** The changes that a reindex makes. */
interface Changes {
  readonly missing: readonly string[];
  /** Names that the bucket lacks, to be removed unless recorded since the cutoff. */
  readonly gone: readonly string[];
  /** Rows that are no names. */
  readonly strays: readonly string[];
  /** Seconds by the server's clock. */
  readonly cutoff: number;
}

/** The list in a table of MySQL or MariaDB. Only a reindex creates a missing table, so that it is never incomplete. */
export class MysqlSearch implements SearchBackend {
  readonly #connections: MysqlConnections;

  /** Connects at the first statement. */
  constructor(config: MysqlConfig) {
    this.#connections = new MysqlConnections(config);
  }

  /** One statement, unless rows of other programs are no names. */
  async list({ n, last }: Page): Promise<NamePage> {
    const above = last === '' ? beforeNames : last;
    // Restarts from the beginning, since rows that are not ASCII may be invalid as a cursor.
    for (let limit = n + 1; ; limit = 2 * limit + extraRows) {
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

  async forget(name: RepositoryName, bucket: Pick<BucketNames, 'has'>): Promise<void> {
    // Before the look at the bucket: what is recorded after it stays.
    const [clock] = await this.#execute(clockStatement, []);
    if (await bucket.has(name)) return;
    await this.#execute(deleteStatement(1), [name, Number(clock?.['now'])]);
  }

  async reindex(bucket: BucketNames, onProgress: Progress = () => undefined): Promise<Reindexed> {
    return await asUnavailable(async () => {
      const changes = await this.#changes(bucket);
      if (changes !== undefined) return await this.#apply(changes, onProgress);
      // Lists the bucket before it creates the table, since an empty table would pass for the list.
      const missing = await Array.fromAsync(bucket.all());
      await this.#connections.query(definition);
      const { added } = await this.#apply({ missing, gone: [], strays: [], cutoff: 0 }, onProgress);
      // Pushes were not recorded until now.
      const since = await this.reindex(bucket, onProgress);
      return { ...since, added: added + since.added };
    });
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  /** @returns undefined without a table */
  async #changes(bucket: BucketNames): Promise<Changes | undefined> {
    const [clock] = await this.#execute(clockStatement, []);
    const cutoff = Number(clock?.['now']) - removalMarginS;
    const rows = await this.#rows();
    if (rows === undefined) return undefined;
    await this.#assertUsable();
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
   * Makes all changes in one transaction. No lock is held while the bucket is listed: a push in between has set its row's
   * time after the cutoff, or inserts the row again.
   */
  async #apply({ missing, gone, strays, cutoff }: Changes, onProgress: Progress): Promise<Reindexed> {
    return await this.#connections.transaction(async (execute) => {
      const total = missing.length + gone.length + strays.length;
      let done = 0;
      const inBatches = async (names: readonly string[], sql: (count: number) => string, more: Values) => {
        for (let at = 0; at < names.length; at += batchSize) {
          const some = names.slice(at, at + batchSize);
          onProgress(done, total);
          await execute(sql(some.length), [...some, ...more]);
          done += some.length;
        }
      };
      // First, since a collation may equate a stray, such as one in capitals, with a name.
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

  /** @returns undefined without a table */
  async #rows(): Promise<Readonly<Record<string, unknown>>[] | undefined> {
    try {
      return await this.#connections.execute(rowsStatement, []);
    } catch (error) {
      if (error instanceof MysqlError && error.isWithoutTable) return undefined;
      throw error;
    }
  }

  /** Rejects a table without a unique key on the name or without transactions. */
  async #assertUsable(): Promise<void> {
    const [table] = await this.#execute(tableStatement, []);
    if (table === undefined) return;
    if (Number(table['unique_keys']) === 0)
      throw unavailable(
        'the table repositories has no unique key on the whole name alone, so names could be duplicated; ' +
          'rename it, and run npm run reindex, which creates a new one',
      );
    if (table['transactions'] !== 'YES')
      throw unavailable(
        'the engine of the table repositories has no transactions; run ALTER TABLE repositories ENGINE=InnoDB',
      );
  }

  async #execute(sql: string, values: Values): Promise<Readonly<Record<string, unknown>>[]> {
    return await asUnavailable(async () => await this.#connections.execute(sql, values));
  }
}

/** @throws RegistryError if the table has altered names or equates different ones */
function assertStored(names: readonly string[], stored: ReadonlySet<string>): void {
  const lost = names.find((name) => !stored.has(name));
  if (lost === undefined) return;
  throw unavailable(
    `the table repositories alters names or equates different ones, such as ${JSON.stringify(lost)}; run ` +
      'ALTER TABLE repositories MODIFY name VARCHAR(1024) CHARACTER SET utf8 COLLATE utf8_general_ci NOT NULL, and then npm run reindex',
  );
}

function namesOf(rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  return rows.map(({ name }) => String(name));
}

/** Turns MySQL errors into SEARCH_UNAVAILABLE. Errors of the bucket pass. */
async function asUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof MysqlError ? unavailable(error.message) : error;
  }
}

function unavailable(why: string): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause: new Error(why) });
}
