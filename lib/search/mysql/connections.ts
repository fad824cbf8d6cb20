import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2';
import type { MysqlConfig } from './dsn.ts';
import { withTimeout } from '../../concurrency/with-timeout.ts';
import { assertNotExpired } from '../../storage/deadline.ts';
import { MysqlError, noAnswer, noConnection } from './errors.ts';

/** Connections of a process, which stay open between requests. */
const poolSize = 4;

/** Requests that wait for a connection; beyond that the server is too slow to be waited for. */
const queue = 256;

/** Milliseconds, where the DSN has no others: less than a gateway waits. */
const connectWithin = 5_000;
const answerWithin = 15_000;

/** Times a transaction is tried that met another one. */
const attempts = 5;

/** Milliseconds that a connection may have been idle: a firewall may have forgotten it then, and nothing would tell. */
const freshness = 45_000;

export type Values = readonly (string | number)[];

/** Executes a prepared statement. @returns its rows; none of one that writes */
export type Execute = (sql: string, values: Values) => Promise<RowDataPacket[]>;

/**
 * A few connections to MySQL or MariaDB, made at the first statement and kept. Every method but `close` fails with
 * MysqlError.
 */
export class MysqlConnections {
  readonly #connectWithin: number;
  readonly #answerWithin: number;
  #pool: Pool;
  /** What to do with a server that speaks no TLS, where that was only preferred. */
  readonly #plain: PoolOptions | undefined;
  /** When each connection was last used, by the clock on the wall: others may stand still while a function is frozen. */
  readonly #used = new WeakMap<object, number>();

  constructor(config: MysqlConfig) {
    this.#connectWithin = config.connectTimeout ?? connectWithin;
    this.#answerWithin = config.readTimeout ?? answerWithin;
    this.#pool = newPool(poolOptions(config, this.#connectWithin));
    this.#plain =
      config.tls === 'preferred' ? poolOptions({ ...config, tls: 'off' }, this.#connectWithin) : undefined;
  }

  /**
   * Executes one prepared statement by itself. A connection that was kept may have been closed by the server meanwhile, and
   * each may: then a new one is made.
   */
  async execute(sql: string, values: Values): Promise<RowDataPacket[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#withConnection(async (connection) => await this.#on(connection, sql, values));
      } catch (error) {
        if (attempt === poolSize || !mayGoBetter(error)) throw error;
      }
    }
  }

  /** Sends a statement that cannot be prepared, such as one that makes a table. */
  async query(sql: string): Promise<void> {
    await this.#withConnection(async (connection) => await this.#answered(connection.query(sql)));
  }

  /** Does statements in one transaction, and does it all again where it met another one or lost its connection. */
  async transaction<T>(act: (execute: Execute) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        // Whatever was begun ends with its connection.
        return await this.#withConnection(async (connection) => {
          await this.#answered(connection.beginTransaction());
          const result = await act(async (sql, values) => await this.#on(connection, sql, values));
          assertNotExpired();
          await this.#answered(connection.commit());
          return result;
        });
      } catch (error) {
        if (attempt === attempts || !mayGoBetter(error)) throw error;
      }
    }
  }

  async close(): Promise<void> {
    // A connection that is still being made may fail, and nobody needs it any more.
    await this.#pool.end().catch(() => undefined);
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
      // Where all are busy, one must first have had its answer, and a new one may have to be made in its place.
      return await inTime(connecting, this.#answerWithin + this.#connectWithin, noConnection);
    } catch (error) {
      // It may come yet, and is for others then.
      connecting.then(
        (connection) => {
          connection.release();
        },
        () => undefined,
      );
      if (!(error instanceof MysqlError && error.isWithoutTls && this.#speakPlainly(pool))) throw error;
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
    assertNotExpired();
    const [rows] = await this.#answered(connection.execute<RowDataPacket[]>(sql, [...values]));
    return rows;
  }

  /** The client's own limit does not hold while a statement is being prepared. */
  async #answered<T>(work: Promise<T>): Promise<T> {
    return await inTime(work, this.#answerWithin, noAnswer);
  }
}

function mayGoBetter(error: unknown): boolean {
  return error instanceof MysqlError && (error.isLostConnection || error.isMeeting);
}

/** @param within milliseconds @param code of the error after these @throws MysqlError */
async function inTime<T>(work: Promise<T>, within: number, code: string): Promise<T> {
  const late = () => Object.assign(new Error(`nothing within ${within} ms`), { code });
  try {
    // A longer timer of Node would end at once.
    return await withTimeout(work, Math.min(within, 2 ** 31 - 1), late);
  } catch (error) {
    throw new MysqlError(error);
  }
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

function poolOptions(
  { user, password, database, address, tls }: MysqlConfig,
  connectTimeout: number,
): PoolOptions {
  return {
    user,
    password,
    database,
    ...('socketPath' in address ? address : { host: address.host, port: address.port }),
    ...(tls === 'off'
      ? {}
      : { ssl: { rejectUnauthorized: tls === 'verified', verifyIdentity: tls === 'verified' } }),
    charset: 'UTF8_GENERAL_CI',
    connectTimeout,
    connectionLimit: poolSize,
    queueLimit: queue,
    enableKeepAlive: true,
    // 64 bits are more than a number holds, and there are no such times.
    supportBigNumbers: false,
  };
}
