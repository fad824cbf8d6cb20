import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import type { Page } from '../../protocol/pages.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { NamePage } from '../../registry/interface.ts';
import { MysqlConnections, type Execute } from './connections.ts';
import type { MysqlConfig } from './dsn.ts';
import { MysqlError } from './errors.ts';
import { orderOf, type KeyOrder } from './order.ts';
import { MysqlPages, TableChanged, type KeyCollation } from './pages.ts';
import {
  clockStatement,
  countStatement,
  definition,
  deleteStatement,
  empty,
  holdStatement,
  insertStatement,
  lockStatement,
  markStatement,
  notWhole,
  recordStatement,
  rowsStatement,
  searchStatement,
  soundStatement,
  stateStatement,
  storedStatement,
  totalStatement,
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

/** Names that are taken away in one transaction: pushes of them wait while the bucket is asked for them. */
const goneAtOnce = 200;

/** How often a page is tried while the table is changed beneath it. */
const attempts = 3;

type Lock = Parameters<typeof holdStatement>[0];

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

  /**
   * Reads what the page has and little else, from the key alone: EXPLAIN says `Using index`, and nothing is sorted. In
   * collations of another order all of the key is read, and sorted.
   */
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
      const [counted] = await this.#execute(countStatement, [term]);
      const offset = Math.min((number - 1) * size, Number.MAX_SAFE_INTEGER);
      const values = [term, term, term, String(size), String(offset)];
      const names = namesOf(await this.#execute(searchStatement, values));
      // Last, so that what was read was of a whole table.
      await this.#whole();
      return { names: names.filter(isRepositoryName), total: Number(counted?.['total'] ?? 0) };
    });
  }

  async record(name: RepositoryName): Promise<void> {
    await told(async () => {
      await this.#made(async () => {
        if (!(await this.#recorded(name, 'LOCK IN SHARE MODE'))) await this.#recorded(name, 'FOR UPDATE');
      });
    });
  }

  /** @returns false, with nothing written, where its own row is the one that was locked: two who share that would wait for each other */
  async #recorded(name: RepositoryName, lock: Lock): Promise<boolean> {
    return await this.#connections.transaction(async (execute) => {
      const first = await begin(execute, lock);
      if (first === name && lock === 'LOCK IN SHARE MODE') return false;
      await execute(recordStatement, [name]);
      return true;
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
      await this.#made(async () => {
        await this.#connections.transaction(async (execute) => {
          await begin(execute, 'LOCK IN SHARE MODE');
        });
      });
      await this.#assertSound();
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
        const step = await this.#change(bucket, inBucket, going, before);
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
   * Adds what is in the bucket and takes away what is still gone, in one transaction, and says then that the table is whole:
   * who empties it waits for this, or came before.
   */
  async #change(
    bucket: BucketNames,
    inBucket: ReadonlySet<string>,
    going: readonly string[],
    before: number,
  ): Promise<Reindexed> {
    return await this.#connections.transaction(async (execute) => {
      await begin(execute, 'LOCK IN SHARE MODE');
      // Read again: meanwhile it may have been emptied.
      const missing = [...inBucket.difference(new Set(namesOf(await execute(rowsStatement, []))))];
      for (const some of slices(missing, batch)) {
        await execute(insertStatement(some.length), some);
        assertStored(some, namesOf(await execute(storedStatement(some.length), some)));
      }
      // Last, so that a push whose name is looked for does not wait for long.
      const removed = await removeGone(execute, bucket, going, before);
      return { names: await makeWhole(execute), added: missing.length, removed };
    });
  }

  /** Does something with a table, which is made first where there is none. */
  async #made(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof MysqlError && error.isWithoutTable)) throw error;
      await this.#connections.query(definition);
      await act();
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
    return { collation, order: knownOrder(collation), whole: Number(row['marked']) === 0 };
  }
}

/**
 * Holds the first row, so that nobody empties the table until the transaction ends. An empty one is marked as not whole
 * first: the names that are put there would pass for the list.
 * @returns the first row in the order of the key, which is locked
 */
async function begin(execute: Execute, lock: Lock): Promise<string> {
  let [row] = await execute(holdStatement(lock), []);
  if (row === undefined) {
    await execute(markStatement, [notWhole]);
    [row] = await execute(holdStatement(lock), []);
  }
  knownOrder(String(row?.['collation']));
  return String(row?.['name']);
}

/** @throws RegistryError where different names are the same to a collation */
function knownOrder(collation: string): KeyOrder {
  const order = orderOf(collation);
  if (order === undefined)
    throw unavailable(
      `to the collation ${collation} of the table repositories different names are the same; ` +
        'run ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE utf8_general_ci, and then npm run reindex',
    );
  return order;
}

/** @throws RegistryError where a table has made others of some names */
function assertStored(names: readonly string[], stored: readonly string[]): void {
  const lost = new Set(names).difference(new Set(stored));
  if (lost.size === 0) return;
  throw unavailable(
    `the table repositories does not keep names as they are, such as ${JSON.stringify([...lost][0])}; ` +
      'rename it, and run npm run reindex, which makes a new one',
  );
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
  const isGone = async (name: string) => !isRepositoryName(name) || !(await bucket.has(name));
  const gone = await inParallel(names, parallelProbes, isGone);
  return names.filter((_, i) => gone[i]);
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
