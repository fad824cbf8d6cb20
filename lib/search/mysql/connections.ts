import { createPool, type Pool, type PoolConnection, type PoolOptions } from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2';
import { maxTimerMs, type MysqlConfig } from './dsn.ts';
import { withTimeout } from '../../concurrency/with-timeout.ts';
import { assertNotExpired } from '../../storage/deadline.ts';
import { MysqlError, noResponse, noConnection } from './errors.ts';

/** Connections per process, kept open between requests. */
const poolSize = 4;

/** Requests that may wait for a connection. */
const queueLimit = 256;

/** Defaults for the DSN's timeouts, shorter than a gateway's. */
const defaultConnectTimeoutMs = 5_000;
const defaultResponseTimeoutMs = 15_000;

/** Attempts at a transaction. */
const maxAttempts = 5;

/** A connection that was idle for longer is replaced: a firewall may have dropped it silently. */
const maxIdleMs = 45_000;

export type Values = readonly (string | number)[];

/** Executes a prepared statement. @returns its rows */
export type Execute = (sql: string, values: Values) => Promise<RowDataPacket[]>;

/** A connection pool to MySQL or MariaDB. Every method but `close` fails with MysqlError. */
export class MysqlConnections {
  readonly #connectTimeoutMs: number;
  readonly #responseTimeoutMs: number;
  #pool: Pool;
  /** Options without TLS, if TLS is only preferred. */
  readonly #plaintext: PoolOptions | undefined;
  /** When each connection was last used. Wall clock, since monotonic ones stop while a function is frozen. */
  readonly #lastUsed = new WeakMap<object, number>();

  constructor(config: MysqlConfig) {
    this.#connectTimeoutMs = config.connectTimeoutMs ?? defaultConnectTimeoutMs;
    this.#responseTimeoutMs = config.readTimeoutMs ?? defaultResponseTimeoutMs;
    this.#pool = newPool(poolOptions(config, this.#connectTimeoutMs));
    this.#plaintext =
      config.tls === 'preferred' ? poolOptions({ ...config, tls: 'off' }, this.#connectTimeoutMs) : undefined;
  }

  /** Executes one prepared statement. Retries on a new connection, since the server may have closed all kept ones. */
  async execute(sql: string, values: Values): Promise<RowDataPacket[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#withConnection(async (connection) => await this.#on(connection, sql, values));
      } catch (error) {
        if (attempt === poolSize || !isRetryable(error)) throw error;
      }
    }
  }

  /** Sends a statement that cannot be prepared, such as CREATE TABLE. */
  async query(sql: string): Promise<void> {
    await this.#withConnection(async (connection) => await this.#withResponseTimeout(connection.query(sql)));
  }

  /** Runs statements in one transaction. Retries all of it after a conflict or a lost connection. */
  async transaction<T>(act: (execute: Execute) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        // A failure discards the connection, which rolls back.
        return await this.#withConnection(async (connection) => {
          await this.#withResponseTimeout(connection.beginTransaction());
          const result = await act(async (sql, values) => await this.#on(connection, sql, values));
          assertNotExpired();
          await this.#withResponseTimeout(connection.commit());
          return result;
        });
      } catch (error) {
        if (attempt === maxAttempts || !isRetryable(error)) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.#pool.end().catch(() => undefined);
  }

  /** Discards the connection after any failure, since it may be busy or closed. */
  async #withConnection<T>(act: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await this.#freshConnection();
    try {
      const result = await act(connection);
      this.#lastUsed.set(connection.connection, Date.now());
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
      const used = this.#lastUsed.get(connection.connection);
      if (used === undefined || Date.now() - used < maxIdleMs) return connection;
      discard(connection);
    }
  }

  async #connection(): Promise<PoolConnection> {
    const pool = this.#pool;
    const connecting = pool.getConnection();
    try {
      // If all are busy, one must first complete its statement, and may have to be replaced.
      return await withMysqlTimeout(
        connecting,
        this.#responseTimeoutMs + this.#connectTimeoutMs,
        noConnection,
      );
    } catch (error) {
      // It may still connect; others use it then.
      connecting.then(
        (connection) => {
          connection.release();
        },
        () => undefined,
      );
      if (!(error instanceof MysqlError && error.isWithoutTls && this.#usePlaintext(pool))) throw error;
      return await this.#connection();
    }
  }

  /** @param pool whose server has no TLS @returns whether a pool without TLS has replaced it */
  #usePlaintext(pool: Pool): boolean {
    if (this.#pool === pool && this.#plaintext !== undefined) {
      this.#pool = newPool(this.#plaintext);
      pool.end().catch(() => undefined);
    }
    return this.#pool !== pool;
  }

  async #on(connection: PoolConnection, sql: string, values: Values): Promise<RowDataPacket[]> {
    assertNotExpired();
    const [rows] = await this.#withResponseTimeout(connection.execute<RowDataPacket[]>(sql, [...values]));
    return rows;
  }

  /** The client's own timeout does not cover the preparation of a statement. */
  async #withResponseTimeout<T>(work: Promise<T>): Promise<T> {
    return await withMysqlTimeout(work, this.#responseTimeoutMs, noResponse);
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof MysqlError && (error.isLostConnection || error.isConflict);
}

/** @param code of the error after a timeout @throws MysqlError */
async function withMysqlTimeout<T>(work: Promise<T>, timeoutMs: number, code: string): Promise<T> {
  const timeoutError = () => Object.assign(new Error(`no response within ${timeoutMs} ms`), { code });
  try {
    return await withTimeout(work, Math.min(timeoutMs, maxTimerMs), timeoutError);
  } catch (error) {
    throw new MysqlError(error);
  }
}

function newPool(options: PoolOptions): Pool {
  const pool = createPool(options);
  // Errors on idle connections surface on next use. Without a listener they would end the process.
  pool.on('connection', (connection) => connection.on('error', () => undefined));
  return pool;
}

/** Closes a connection at once: the client's own `destroy` waits for the server. */
function discard(connection: PoolConnection): void {
  connection.destroy();
  const { stream } = connection.connection as { stream?: { destroy(): void } };
  stream?.destroy();
}

function poolOptions(
  { user, password, database, address, tls }: MysqlConfig,
  connectTimeoutMs: number,
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
    connectTimeout: connectTimeoutMs,
    connectionLimit: poolSize,
    queueLimit,
    enableKeepAlive: true,
    // Times fit a number.
    supportBigNumbers: false,
  };
}
