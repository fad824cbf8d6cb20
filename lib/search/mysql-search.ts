import { setTimeout as delay } from 'node:timers/promises';
import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import { RegistryError } from '../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import type { NamePage } from '../registry/name-order.ts';
import { compareKeys, StoreError } from '../storage/store.ts';
import type { MysqlConfig } from './mysql-dsn.ts';
import { adviceOn, isLostConnection, isMeeting, isWithoutTls } from './mysql-errors.ts';
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

type Values = readonly (string | number)[];

/** The list in a table of MySQL or MariaDB, with prepared statements alone. */
export class MysqlSearch implements SearchBackend {
  readonly #within: number;
  #pool: Pool;
  /** What to do with a server that speaks no TLS, where that was only preferred. */
  readonly #plain: PoolOptions | undefined;

  /** Connects at the first statement. */
  constructor(config: MysqlConfig) {
    this.#pool = createPool(poolOptions(config));
    this.#plain = config.tls === 'preferred' ? poolOptions({ ...config, tls: 'off' }) : undefined;
    this.#within = config.readTimeout ?? answerWithin;
  }

  /** Reads what the page has and little else, from the key alone: EXPLAIN says `Using index`, and nothing is sorted. */
  async list({ n, last }: Page): Promise<NamePage> {
    if (n === 0) return { names: [], more: false };
    const names = await this.#first(n + 1, rangesAfter(last), '');
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
      names.push(...found.filter(isRepositoryName));
      end = found.at(-1) ?? end;
      if (found.length < count) return names.sort(compareKeys).slice(0, count);
    }
    const late = intersect(ranges, rangesOfLate(names));
    if (late.length > 0) names.push(...(await this.#first(count, late, end)));
    return names.sort(compareKeys).slice(0, count);
  }

  async search(term: string, { size, number }: SearchPage): Promise<SearchResults> {
    const [counted] = await this.#rows(countStatement, [term]);
    const offset = Math.min((number - 1) * size, Number.MAX_SAFE_INTEGER);
    const names = await this.#names(searchStatement, [term, term, term, String(size), String(offset)]);
    return { names: names.filter(isRepositoryName), total: Number(counted?.['total'] ?? 0) };
  }

  async record(name: RepositoryName): Promise<void> {
    await this.#execute(recordStatement, [name]);
  }

  /**
   * In one transaction. A row that is to go is locked before its repository is looked for in the bucket: a push has
   * written there before it records, so it is found, or its record waits and comes after.
   */
  async reindex(
    bucket: BucketNames,
    onProgress: (done: number, total: number) => void = () => undefined,
  ): Promise<Reindexed> {
    const [clock] = await this.#rows('SELECT UNIX_TIMESTAMP() AS now', []);
    const before = Number(clock?.['now']) - doubtless;
    const inBucket = new Set(await Array.fromAsync(bucket.all()));
    return await this.#inTransaction(async (connection) => {
      const rows = await this.#on(connection, 'SELECT name, createTime FROM repositories', []);
      const listed = new Set(rows.map(({ name }) => String(name)));
      const missing = [...inBucket].filter((name) => !listed.has(name));
      const doubtful = rows.filter(
        (row) => !inBucket.has(String(row['name'])) && Number(row['createTime']) < before,
      );
      const changes = new Changes(missing.length + doubtful.length, onProgress);
      for (const names of inBatches(missing)) {
        await this.#on(connection, insertStatement(names.length), names);
        changes.add(names.length);
      }
      // Last, so that a push whose name is looked for does not wait for long.
      const removed = await this.#removeGone(
        connection,
        bucket,
        doubtful.map(({ name }) => String(name)),
        before,
        changes,
      );
      const [counted] = await this.#on(connection, 'SELECT COUNT(*) AS total FROM repositories', []);
      return { names: Number(counted?.['total']), added: missing.length, removed };
    });
  }

  async close(): Promise<void> {
    // A connection that is still being made may fail, and nobody needs it any more.
    await this.#pool.end().catch(() => undefined);
  }

  /** @returns how many have gone */
  async #removeGone(
    connection: PoolConnection,
    bucket: BucketNames,
    doubtful: readonly string[],
    before: number,
    changes: Changes,
  ): Promise<number> {
    let removed = 0;
    for (const names of inBatches(doubtful)) {
      const locked = await this.#on(connection, lockStatement(names.length), [...names, before]);
      const gone = await withoutExisting(
        bucket,
        locked.map(({ name }) => String(name)),
      );
      if (gone.length > 0) await this.#on(connection, deleteStatement(gone.length), gone);
      removed += gone.length;
      changes.add(names.length);
    }
    return removed;
  }

  async #names(sql: string, values: Values): Promise<string[]> {
    return (await this.#rows(sql, values)).map(({ name }) => String(name));
  }

  async #rows(sql: string, values: Values): Promise<RowDataPacket[]> {
    return (await this.#execute(sql, values)) as RowDataPacket[];
  }

  /** A connection that was kept may have been closed by the server meanwhile, and each may: then a new one is made. */
  async #execute(sql: string, values: Values): Promise<RowDataPacket[] | ResultSetHeader> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#withConnection(async (connection) => await this.#on(connection, sql, values));
      } catch (error) {
        if (attempt === poolSize || !(await this.#mayGoBetter(error))) throw unavailable(error);
      }
    }
  }

  /** A connection on which anything failed is not used again: it may still be busy with that, or be none any more. */
  async #withConnection<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await this.#connection();
    try {
      const result = await act(connection);
      connection.release();
      return result;
    } catch (error) {
      connection.destroy();
      throw error;
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
      this.#pool = createPool(this.#plain);
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

  /** Does what can be done about a failure. @returns whether another attempt makes sense */
  async #mayGoBetter(error: unknown): Promise<boolean> {
    if (isLostConnection(error) || isMeeting(error)) return true;
    if ((error as { code?: unknown }).code !== 'ER_NO_SUCH_TABLE') return false;
    try {
      await this.#withConnection(async (connection) => await this.#inTime(connection.query(definition)));
    } catch (cause) {
      throw unavailable(cause);
    }
    return true;
  }

  async #inTransaction<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#transaction(act);
      } catch (error) {
        if (error instanceof RegistryError) throw error;
        if (attempt === attempts || !(await this.#mayGoBetter(error))) throw unavailable(error);
      }
    }
  }

  async #transaction<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    // Whatever was begun ends with its connection.
    return await this.#withConnection(async (connection) => {
      // Gaps between rows are not locked then, in which pushes may want to write.
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

const contains = 'LOCATE(CAST(? AS BINARY), CAST(name AS BINARY))';
const countStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${contains} > 0`;
const searchStatement = `SELECT name FROM repositories WHERE ${contains} > 0
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

function inBatches(names: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(names.length / batch) }, (_, i) =>
    names.slice(i * batch, (i + 1) * batch),
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
