import { RegistryError } from '../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/name-order.ts';
import { MysqlConnections, type Execute } from './mysql-connections.ts';
import type { MysqlConfig } from './mysql-dsn.ts';
import { MysqlError } from './mysql-errors.ts';
import { orderOf } from './mysql-order.ts';
import { MysqlPages, TableChanged, type KeyCollation } from './mysql-pages.ts';
import {
  clockStatement,
  countStatement,
  definition,
  deleteStatement,
  empty,
  insertStatement,
  lockStatement,
  markStatement,
  notWhole,
  recordStatement,
  rowsStatement,
  searchStatement,
  stateStatement,
  totalStatement,
} from './mysql-statements.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from './search-backend.ts';

/** Rows of one statement in a reindex. */
const batch = 500;

/** Repositories looked for in the bucket at once. */
const parallelProbes = 16;

/**
 * Seconds before a reindex in which a recorded name is not doubted: the bucket's listing may lag, and the registry before
 * this one wrote the time of its own clock.
 */
const doubtless = 300;

/** Names that are taken away in one transaction: pushes of them wait while the bucket is asked for them. */
const goneAtOnce = 200;

/** Times a page is begun whose table is changed meanwhile. */
const attempts = 3;

/** What the table is, while it has a row. */
interface TableState extends KeyCollation {
  /** Whether it was made from the bucket. */
  readonly whole: boolean;
}

/** The list in a table of MySQL or MariaDB, with prepared statements alone. */
export class MysqlSearch implements SearchBackend {
  readonly #connections: MysqlConnections;
  readonly #execute: Execute;
  /** As it was last seen: each page finds out whether it still is. */
  #pages: MysqlPages | undefined;

  /** Connects at the first statement. */
  constructor(config: MysqlConfig) {
    this.#connections = new MysqlConnections(config);
    this.#execute = async (sql, values) => await this.#connections.execute(sql, values);
  }

  /** Reads what the page has and little else, from the key alone: EXPLAIN says `Using index`, and nothing is sorted. */
  async list({ n, last }: Page): Promise<NamePage> {
    return await told(async () => {
      if (n === 0) await this.#whole();
      const names = n === 0 ? [] : await this.#namesAfter(last, n + 1);
      return { names: names.slice(0, n), more: names.length > n };
    });
  }

  async #namesAfter(last: string, count: number): Promise<string[]> {
    for (let attempt = 1; ; attempt++) {
      const pages = (this.#pages ??= await this.#pagesNow());
      try {
        const names = await pages.after(last, count);
        // No row has told that the table was changed, or emptied.
        if (names.length === 0) pages.assertOf(await this.#whole());
        return names;
      } catch (error) {
        if (!(error instanceof TableChanged) || attempt === attempts) throw error;
        this.#pages = undefined;
      }
    }
  }

  async #pagesNow(): Promise<MysqlPages> {
    return new MysqlPages(this.#execute, await this.#whole());
  }

  async search(term: string, { size, number }: SearchPage): Promise<SearchResults> {
    return await told(async () => {
      await this.#whole();
      const [counted] = await this.#execute(countStatement, [term]);
      const offset = Math.min((number - 1) * size, Number.MAX_SAFE_INTEGER);
      const values = [term, term, term, String(size), String(offset)];
      const names = namesOf(await this.#execute(searchStatement, values));
      return { names: names.filter(isRepositoryName), total: Number(counted?.['total'] ?? 0) };
    });
  }

  async record(name: RepositoryName): Promise<void> {
    await told(async () => {
      await this.#begin();
      await this.#execute(recordStatement, [name]);
    });
  }

  /**
   * A row that is to go is locked before its repository is looked for in the bucket: a push has written there before it
   * records, so it is found, or its record waits and comes after. All is one transaction, unless very many go: then the
   * others follow in their own, each of which leaves all that the bucket has.
   */
  async reindex(
    bucket: BucketNames,
    onProgress: (done: number, total: number) => void = () => undefined,
  ): Promise<Reindexed> {
    return await told(async () => {
      await this.#begin();
      const [clock] = await this.#execute(clockStatement, []);
      const before = Number(clock?.['now']) - doubtless;
      const inBucket = new Set(await Array.fromAsync(bucket.all()));
      const rows = await this.#execute(rowsStatement, []);
      const doubtful = rows
        .filter(({ name, createTime }) => !inBucket.has(String(name)) && Number(createTime) < before)
        .map(({ name }) => String(name));
      const missingBefore = inBucket.difference(new Set(namesOf(rows))).size;
      const changes = new Changes(missingBefore + doubtful.length, onProgress);
      const gone = await withoutExisting(bucket, doubtful);
      changes.add(doubtful.length - gone.length);
      const first = await this.#change(bucket, inBucket, gone.slice(0, goneAtOnce), before);
      let { names, removed } = first;
      changes.add(missingBefore + Math.min(gone.length, goneAtOnce));
      for (let at = goneAtOnce; at < gone.length; at += goneAtOnce) {
        const going = gone.slice(at, at + goneAtOnce);
        const step = await this.#change(bucket, undefined, going, before);
        changes.add(going.length);
        [names, removed] = [step.names, removed + step.removed];
      }
      return { names, added: first.added, removed };
    });
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  /**
   * Adds what is in the bucket and takes away what is still gone, in one transaction, and says then that the table is whole.
   * @param inBucket nothing where that was added just now
   */
  async #change(
    bucket: BucketNames,
    inBucket: ReadonlySet<string> | undefined,
    going: readonly string[],
    before: number,
  ): Promise<Reindexed> {
    return await this.#connections.transaction(async (execute) => {
      // Read again: meanwhile it may have been emptied, and would be taken for whole.
      const missing = inBucket?.difference(new Set(namesOf(await execute(rowsStatement, [])))) ?? new Set();
      for (const some of slices([...missing], batch)) await execute(insertStatement(some.length), some);
      // Last, so that a push whose name is looked for does not wait for long.
      const removed = await removeGone(execute, bucket, going, before);
      return { names: await makeWhole(execute), added: missing.size, removed };
    });
  }

  /**
   * Says of an empty table that it is not whole, and makes one where there is none. Each time: somebody may have emptied it,
   * and what is recorded then would pass for the list.
   */
  async #begin(): Promise<void> {
    try {
      if ((await this.#state()) !== undefined) return;
    } catch (error) {
      if (!(error instanceof MysqlError && error.isWithoutTable)) throw error;
      await this.#connections.query(definition);
    }
    await this.#execute(markStatement, [notWhole]);
    // Now it has a row that tells its collation.
    await this.#state();
  }

  /** Refuses a table that was not made from the bucket yet: one that is empty, or only has what was recorded since. */
  async #whole(): Promise<TableState> {
    const state = await this.#state();
    if (state?.whole !== true)
      throw unavailable(
        'the table was not made from the bucket yet: a reindex does that, with which npm run serve begins',
      );
    return state;
  }

  /** @returns undefined where the table has no row @throws RegistryError where it cannot tell names apart */
  async #state(): Promise<TableState | undefined> {
    const [row] = await this.#execute(stateStatement, [notWhole]);
    if (row === undefined) return undefined;
    const collation = String(row['collation']);
    const order = orderOf(collation);
    if (order === undefined)
      throw unavailable(
        `to the collation ${collation} of the table repositories different names are the same; ` +
          'run ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE utf8_general_ci, and then npm run reindex',
      );
    return { collation, order, whole: Number(row['marked']) === 0 };
  }
}

/** @returns how many have gone */
async function removeGone(
  execute: Execute,
  bucket: BucketNames,
  names: readonly string[],
  before: number,
): Promise<number> {
  if (names.length === 0) return 0;
  const locked = await execute(lockStatement(names.length), [...names, before]);
  const gone = await withoutExisting(bucket, namesOf(locked));
  if (gone.length > 0) await execute(deleteStatement(gone.length), gone);
  return gone.length;
}

/** Says that a table has all that is in the bucket. @returns how many names it has */
async function makeWhole(execute: Execute): Promise<number> {
  const [counted] = await execute(totalStatement, []);
  const names = Number(counted?.['total']);
  await execute(deleteStatement(2), [notWhole, empty]);
  if (names === 0) await execute(insertStatement(1), [empty]);
  return names;
}

/** Names of the table that are none in a bucket, or of which it has nothing. */
async function withoutExisting(bucket: BucketNames, names: readonly string[]): Promise<string[]> {
  const gone: string[] = [];
  for (const some of slices(names, parallelProbes))
    await Promise.all(
      some.map(async (name) => {
        if (!isRepositoryName(name) || !(await bucket.has(name))) gone.push(name);
      }),
    );
  return gone;
}

function namesOf(rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  return rows.map(({ name }) => String(name));
}

function slices(names: readonly string[], size: number): string[][] {
  return Array.from({ length: Math.ceil(names.length / size) }, (_, i) =>
    names.slice(i * size, (i + 1) * size),
  );
}

/** Tells how far a reindex is. */
class Changes {
  readonly #total: number;
  readonly #tell: (done: number, total: number) => void;
  #done = 0;

  constructor(total: number, tell: (done: number, total: number) => void) {
    this.#total = total;
    this.#tell = tell;
    tell(0, total);
  }

  add(count: number): void {
    this.#done += count;
    this.#tell(this.#done, this.#total);
  }
}

/** What fails here is a list that cannot be had; a bucket that fails during a reindex says so itself. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof MysqlError || error instanceof TableChanged ? unavailable(error.message) : error;
  }
}

function unavailable(why: string): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause: new Error(why) });
}
