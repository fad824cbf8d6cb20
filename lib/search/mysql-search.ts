import { setTimeout as delay } from 'node:timers/promises';
import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import { RegistryError } from '../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/name-order.ts';
import { compareKeys, StoreError } from '../storage/store.ts';
import type { MysqlConfig } from './mysql-dsn.ts';
import {
  adviceOn,
  isLostConnection,
  isMeeting,
  isUnloggable,
  isWithoutTable,
  isWithoutTls,
} from './mysql-errors.ts';
import { intersect, rangesAfter, rangesOfLate, type KeyRange } from './mysql-order.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from './search-backend.ts';

/** As the registry before this one made it. One that is there is used as it is. */
const definition = `CREATE TABLE IF NOT EXISTS \`repositories\` (
  \`name\` VARCHAR(1024) NOT NULL,
  \`createTime\` BIGINT(20) NOT NULL DEFAULT '0',
  PRIMARY KEY (\`name\`)
) COLLATE='utf8_general_ci' ENGINE=InnoDB`;

/** Connections of a process, which stay open between requests. */
const poolSize = 4;

/** Requests that wait for a connection; beyond that the server is too slow to be waited for. */
const queue = 256;

/** Milliseconds, where the DSN has no others: less than a gateway waits. */
const connectWithin = 5_000;
const answerWithin = 15_000;

/** Rows of one statement in a reindex. */
const batch = 500;

/** Repositories looked for in the bucket at once. */
const parallelProbes = 16;

/** Times a transaction is tried that met another one. */
const attempts = 5;

/**
 * Seconds before a reindex in which a recorded name is not doubted: the bucket's listing may lag, and the registry before
 * this one wrote the time of its own clock.
 */
const doubtless = 300;

/** Milliseconds that a connection may have been idle: a firewall may have forgotten it then, and nothing would tell. */
const freshness = 45_000;

/** Names that are taken away in one transaction: pushes of them wait while the bucket is asked for them. */
const goneAtOnce = 200;

type Values = readonly (string | number)[];

/** The list in a table of MySQL or MariaDB, with prepared statements alone. */
export class MysqlSearch implements SearchBackend {
  readonly #within: number;
  #pool: Pool;
  /** What to do with a server that speaks no TLS, where that was only preferred. */
  readonly #plain: PoolOptions | undefined;
  /** When each connection was last used, by the clock on the wall: others may stand still while a function is frozen. */
  readonly #used = new WeakMap<object, number>();
  /** Whether the table is known to have a row, and whether it is known to be whole: it stays so, unless it is emptied. */
  #isBegun = false;
  #isWhole = false;
  /** Whether a transaction may read what others have committed meanwhile. */
  #readCommitted = true;

  /** Connects at the first statement. */
  constructor(config: MysqlConfig) {
    this.#pool = newPool(poolOptions(config));
    this.#plain = config.tls === 'preferred' ? poolOptions({ ...config, tls: 'off' }) : undefined;
    this.#within = config.readTimeout ?? answerWithin;
  }

  /** Reads what the page has and little else, from the key alone: EXPLAIN says `Using index`, and nothing is sorted. */
  async list({ n, last }: Page): Promise<NamePage> {
    await this.#assertWhole();
    if (n === 0) return { names: [], more: false };
    const names = await this.#first(n + 1, rangesAfter(last), '');
    if (names.length === 0 && last === '') await this.#assertWhole('again');
    return { names: names.slice(0, n), more: names.length > n };
  }

  /**
   * The first names in byte order: the first in the order of the key, and those that come later in it and belong before
   * them. There are seldom any, but whether there are must be asked.
   * @param above where to begin in the key
   */
  async #first(count: number, ranges: readonly KeyRange[], above: string): Promise<string[]> {
    const names: string[] = [];
    let end = above;
    while (names.length < count) {
      const found = await this.#names(pageStatement(ranges.length), pageValues(end, ranges, count));
      if (found.includes(notWhole)) throw this.#notMade();
      names.push(...found.filter(isRepositoryName));
      end = found.at(-1) ?? end;
      if (found.length < count) return names.sort(compareKeys).slice(0, count);
    }
    const late = intersect(ranges, rangesOfLate(names));
    if (late.length > 0) names.push(...(await this.#first(count, late, end)));
    return names.sort(compareKeys).slice(0, count);
  }

  async search(term: string, { size, number }: SearchPage): Promise<SearchResults> {
    await this.#assertWhole();
    const [counted] = await this.#rows(countStatement, [term]);
    const offset = Math.min((number - 1) * size, Number.MAX_SAFE_INTEGER);
    const names = await this.#names(searchStatement, [term, term, term, String(size), String(offset)]);
    return { names: names.filter(isRepositoryName), total: Number(counted?.['total'] ?? 0) };
  }

  async record(name: RepositoryName): Promise<void> {
    if (!this.#isBegun) await this.#markEmpty();
    await this.#execute(recordStatement, [name]);
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
    await this.#markEmpty();
    const [clock] = await this.#rows('SELECT UNIX_TIMESTAMP() AS now', []);
    const before = Number(clock?.['now']) - doubtless;
    const inBucket = new Set(await Array.fromAsync(bucket.all()));
    const rows = await this.#rows(rowsStatement, []);
    const listed = new Set(rows.map(({ name }) => String(name)));
    const missing = [...inBucket].filter((name) => !listed.has(name));
    const doubtful = rows
      .filter((row) => !inBucket.has(String(row['name'])) && Number(row['createTime']) < before)
      .map(({ name }) => String(name));
    const changes = new Changes(missing.length + doubtful.length, onProgress);
    const gone = await withoutExisting(bucket, doubtful);
    changes.add(doubtful.length - gone.length);
    const steps = [missing, ...slices(gone.slice(goneAtOnce), goneAtOnce).map(() => [])];
    let [names, removed] = [0, 0];
    for (const [i, added] of steps.entries()) {
      const going = gone.slice(i * goneAtOnce, (i + 1) * goneAtOnce);
      const result = await this.#inTransaction(async (connection) => {
        for (const some of slices(added, batch))
          await this.#on(connection, insertStatement(some.length), some);
        // Last, so that a push whose name is looked for does not wait for long.
        const count = await this.#removeGone(connection, bucket, going, before);
        return { removed: count, names: await this.#makeWhole(connection) };
      });
      changes.add(added.length + going.length);
      [names, removed] = [result.names, removed + result.removed];
    }
    this.#isWhole = true;
    return { names, added: missing.length, removed };
  }

  async close(): Promise<void> {
    // A connection that is still being made may fail, and nobody needs it any more.
    await this.#pool.end().catch(() => undefined);
  }

  /** @returns how many have gone */
  async #removeGone(
    connection: PoolConnection,
    bucket: BucketNames,
    names: readonly string[],
    before: number,
  ): Promise<number> {
    if (names.length === 0) return 0;
    const locked = await this.#on(connection, lockStatement(names.length), [...names, before]);
    const gone = await withoutExisting(
      bucket,
      locked.map(({ name }) => String(name)),
    );
    if (gone.length > 0) await this.#on(connection, deleteStatement(gone.length), gone);
    return gone.length;
  }

  /**
   * Refuses a table that was not made from the bucket yet: one that is empty, or only has what was recorded since.
   * @param again asks also when it was whole once
   */
  async #assertWhole(again?: 'again'): Promise<void> {
    if (this.#isWhole && again === undefined) return;
    const [state] = await this.#rows(stateStatement, [notWhole]);
    this.#isWhole = Number(state?.['filled']) === 1 && Number(state?.['marked']) === 0;
    if (!this.#isWhole) throw this.#notMade();
  }

  /** It may have been whole before somebody emptied it. */
  #notMade(): RegistryError {
    this.#isWhole = false;
    this.#isBegun = false;
    const why =
      'the table was not made from the bucket yet: a reindex does that, with which npm run serve begins';
    return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause: new Error(why) });
  }

  /** Says of an empty table that it is not whole, and makes one where there is none. */
  async #markEmpty(): Promise<void> {
    await this.#execute(markStatement, [notWhole], 'make');
    this.#isBegun = true;
  }

  /** Says that a table has all that is in the bucket. @returns how many names it has */
  async #makeWhole(connection: PoolConnection): Promise<number> {
    const [counted] = await this.#on(connection, totalStatement, []);
    const names = Number(counted?.['total']);
    await this.#on(connection, deleteStatement(2), [notWhole, empty]);
    if (names === 0) await this.#on(connection, insertStatement(1), [empty]);
    return names;
  }

  async #names(sql: string, values: Values): Promise<string[]> {
    return (await this.#rows(sql, values)).map(({ name }) => String(name));
  }

  async #rows(sql: string, values: Values): Promise<RowDataPacket[]> {
    return (await this.#execute(sql, values)) as RowDataPacket[];
  }

  /**
   * A connection that was kept may have been closed by the server meanwhile, and each may: then a new one is made.
   * @param without what to do where there is no table
   */
  async #execute(
    sql: string,
    values: Values,
    without: 'make' | 'fail' = 'fail',
  ): Promise<RowDataPacket[] | ResultSetHeader> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#withConnection(async (connection) => await this.#on(connection, sql, values));
      } catch (error) {
        if (attempt === poolSize) throw unavailable(error);
        if (isWithoutTable(error) && without === 'make') await this.#makeTable();
        else if (!isLostConnection(error) && !isMeeting(error)) throw unavailable(error);
      }
    }
  }

  async #makeTable(): Promise<void> {
    try {
      await this.#withConnection(async (connection) => await this.#inTime(connection.query(definition)));
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  /** A connection on which anything failed is not used again: it may still be busy with that, or be none any more. */
  async #withConnection<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await this.#freshConnection();
    try {
      const result = await act(connection);
      this.#used.set(connection.connection, Date.now());
      connection.release();
      return result;
    } catch (error) {
      discard(connection);
      throw error;
    }
  }

  async #freshConnection(): Promise<PoolConnection> {
    for (;;) {
      const connection = await this.#connection();
      const used = this.#used.get(connection.connection);
      if (used === undefined || Date.now() - used < freshness) return connection;
      discard(connection);
    }
  }

  async #connection(): Promise<PoolConnection> {
    const pool = this.#pool;
    const connecting = pool.getConnection();
    try {
      return await this.#inTime(connecting);
    } catch (error) {
      // It may come yet, and is for others then.
      connecting.then(
        (connection) => {
          connection.release();
        },
        () => undefined,
      );
      if (!isWithoutTls(error) || !this.#speakPlainly(pool)) throw error;
      return await this.#connection();
    }
  }

  /** @param pool that has found no TLS @returns whether there is another one without, which others may have made */
  #speakPlainly(pool: Pool): boolean {
    if (this.#pool === pool && this.#plain !== undefined) {
      this.#pool = newPool(this.#plain);
      pool.end().catch(() => undefined);
    }
    return this.#pool !== pool;
  }

  async #on(connection: PoolConnection, sql: string, values: Values): Promise<RowDataPacket[]> {
    const [rows] = await this.#inTime(connection.execute<RowDataPacket[]>(sql, [...values]));
    return rows;
  }

  /** The client's own limit does not hold while a statement is being prepared. */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const timer = new AbortController();
    const late = delay(this.#within, undefined, { signal: timer.signal }).then(() => {
      throw Object.assign(new Error('no answer in time'), { code: 'PROTOCOL_SEQUENCE_TIMEOUT' });
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timer.abort();
      late.catch(() => undefined);
    }
  }

  async #inTransaction<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#transaction(act);
      } catch (error) {
        const mayGoBetter = isLostConnection(error) || isMeeting(error) || this.#lockMore(error);
        if (attempt === attempts || !mayGoBetter) throw unavailable(error);
      }
    }
  }

  /** A server whose binary log is made of statements takes none that reads what others commit. */
  #lockMore(error: unknown): boolean {
    if (!this.#readCommitted || !isUnloggable(error)) return false;
    this.#readCommitted = false;
    return true;
  }

  async #transaction<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    // Whatever was begun ends with its connection.
    return await this.#withConnection(async (connection) => {
      // Gaps between rows are not locked then, in which pushes may want to write.
      if (this.#readCommitted)
        await this.#inTime(connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED'));
      await this.#inTime(connection.beginTransaction());
      const result = await act(connection);
      await this.#inTime(connection.commit());
      return result;
    });
  }
}

/** @param count of ranges; of as many as the next power of 2, so that few statements are prepared */
const pageStatement = (count: number) =>
  `SELECT name FROM repositories WHERE name > ? AND (${ranges(padded(count))}) ORDER BY name LIMIT ?`;

function ranges(count: number): string {
  return Array.from({ length: count }, () => '(name >= ? AND name < ?)').join(' OR ');
}

function pageValues(above: string, ranges: readonly KeyRange[], count: number): string[] {
  const last = ranges.at(-1) ?? { from: '', to: '' };
  const all = Array.from({ length: padded(ranges.length) }, (_, i) => ranges[i] ?? last);
  return [above, ...all.flatMap(({ from, to }) => [from, to]), String(count)];
}

function padded(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}

/**
 * Rows that are no names: of a table that was begun by recording names, until a reindex has made it whole, and of one that
 * is whole and has none, as a table without rows is not whole.
 */
const notWhole = '# not whole: npm run reindex';
const empty = '# empty';
const isName = "name NOT LIKE '#%'";

const stateStatement = `SELECT EXISTS (SELECT 1 FROM repositories) AS filled,
  EXISTS (SELECT 1 FROM repositories WHERE name = ?) AS marked`;
const markStatement = `INSERT INTO repositories (name, createTime)
  SELECT ?, 0 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM repositories)
  ON DUPLICATE KEY UPDATE name = VALUES(name)`;
const rowsStatement = `SELECT name, createTime FROM repositories WHERE ${isName}`;
const totalStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${isName}`;

const contains = 'LOCATE(CAST(? AS BINARY), CAST(name AS BINARY))';
const countStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${contains} > 0 AND ${isName}`;
const searchStatement = `SELECT name FROM repositories WHERE ${contains} > 0 AND ${isName}
  ORDER BY CAST(name AS BINARY) = CAST(? AS BINARY) DESC, ${contains} = 1 DESC, CAST(name AS BINARY)
  LIMIT ? OFFSET ?`;

/** A name in other letters than it should have is put right. */
const recordStatement = `INSERT INTO repositories (name, createTime) VALUES (?, UNIX_TIMESTAMP())
  ON DUPLICATE KEY UPDATE name = VALUES(name), createTime = VALUES(createTime)`;

const insertStatement = (count: number) =>
  `INSERT INTO repositories (name, createTime) VALUES ${placeholders(count, '(?, UNIX_TIMESTAMP())')}
  ON DUPLICATE KEY UPDATE name = VALUES(name)`;

const lockStatement = (count: number) =>
  `SELECT name FROM repositories WHERE name IN (${placeholders(count, '?')}) AND createTime < ? FOR UPDATE`;

const deleteStatement = (count: number) =>
  `DELETE FROM repositories WHERE name IN (${placeholders(count, '?')})`;

function placeholders(count: number, one: string): string {
  return Array.from({ length: count }, () => one).join(', ');
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

/** Names of the table that are none in a bucket, or of which it has nothing. */
async function withoutExisting(bucket: BucketNames, names: readonly string[]): Promise<string[]> {
  const gone: string[] = [];
  for (let i = 0; i < names.length; i += parallelProbes)
    await Promise.all(
      names.slice(i, i + parallelProbes).map(async (name) => {
        if (!isRepositoryName(name) || !(await bucket.has(name))) gone.push(name);
      }),
    );
  return gone;
}

/**
 * What failed, as it is told. The DSN is in none of it: what the server says of a refused user may name that. A bucket that
 * failed during a reindex says so itself.
 */
function unavailable(error: unknown): Error {
  if (error instanceof RegistryError || error instanceof StoreError) return error;
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause: new Error(adviceOn(error)) });
}

function newPool(options: PoolOptions): Pool {
  const pool = createPool(options);
  // What befalls a connection that nobody is using is found out by the next who would; without this it ends the process.
  pool.on('connection', (connection) => connection.on('error', () => undefined));
  return pool;
}

/** Closes a connection whatever its server does: the client's own `destroy` waits for that. */
function discard(connection: PoolConnection): void {
  connection.destroy();
  const { stream } = connection.connection as { stream?: { destroy(): void } };
  stream?.destroy();
}

function poolOptions({ user, password, database, address, tls, connectTimeout }: MysqlConfig): PoolOptions {
  return {
    user,
    password,
    database,
    ...('socketPath' in address ? address : { host: address.host, port: address.port }),
    ...(tls === 'off'
      ? {}
      : { ssl: { rejectUnauthorized: tls === 'verified', verifyIdentity: tls === 'verified' } }),
    charset: 'UTF8_GENERAL_CI',
    connectTimeout: connectTimeout ?? connectWithin,
    connectionLimit: poolSize,
    queueLimit: queue,
    enableKeepAlive: true,
    // 64 bits are more than a number holds, and there are no such times.
    supportBigNumbers: false,
  };
}
