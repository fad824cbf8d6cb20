import { resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a use waits for others, in milliseconds. */
const defaultPatience = 10_000;

/** Bounds of the waits between two tries, in milliseconds; random, so that those who wait do not meet again and again. */
const wait = { shortest: 5, longest: 25 };

/** What SQLite says when another one holds the lock (sqlite.org/rescode.html). */
const busy = 5;

/** A lock was not to be had: others hold it too long, or its file cannot be used. */
export class LockError extends Error {
  override readonly name = 'LockError';
}

/**
 * A lock between processes. It is that of an SQLite database in which nothing is ever written, because that one is let
 * go by the system itself when its holder is killed, which Node has no other means for.
 *
 * Nothing else may open the file: who closes it lets go of all locks its process has on it (fcntl(2)).
 */
export class FileLock {
  readonly #path: string;
  readonly #patience: number;
  #closed = false;

  /** @param patience milliseconds until one who waits gives up */
  constructor(path: string, patience: number = defaultPatience) {
    this.#path = resolve(path);
    this.#patience = patience;
  }

  /** Makes the file where it is missing. @throws LockError */
  make(): void {
    this.#connect().close();
  }

  /** Does something while nobody has the lock for itself. @throws LockError when the lock was not to be had */
  async shared<T>(act: () => Promise<T>): Promise<T> {
    // SQLite takes the lock only where something is read.
    return await this.#holding('BEGIN; SELECT count(*) FROM sqlite_master', act);
  }

  /** Does something while nobody else has the lock. @throws LockError when the lock was not to be had */
  async exclusive<T>(act: () => Promise<T>): Promise<T> {
    // Without a journal there is no second file, which could not be made in a folder that is read-only.
    return await this.#holding('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE', act);
  }

  /** What is under way goes on to its end; nothing begins any more. */
  close(): void {
    this.#closed = true;
  }

  async #holding<T>(begin: string, act: () => Promise<T>): Promise<T> {
    // A connection has one transaction, so each use has one; an old one would still hold the lock of a file that is gone.
    const connection = this.#connect();
    try {
      await this.#begin(connection, begin);
      return await act();
    } finally {
      connection.close();
    }
  }

  #connect(): DatabaseSync {
    if (this.#closed) throw this.#error('is closed');
    try {
      return new DatabaseSync(this.#path, { timeout: 0 });
    } catch (cause) {
      throw this.#error('cannot be opened', cause);
    }
  }

  async #begin(connection: DatabaseSync, begin: string): Promise<void> {
    const end = performance.now() + this.#patience;
    while (!this.#hasBegun(connection, begin)) {
      if (performance.now() >= end) throw this.#error(`was held by others for ${this.#patience} ms`);
      // Not SQLite's own waiting, which blocks the event loop, and with it a holder in this process.
      await sleep(wait.shortest + Math.random() * (wait.longest - wait.shortest));
    }
  }

  #hasBegun(connection: DatabaseSync, begin: string): boolean {
    try {
      connection.exec(begin);
      return true;
    } catch (cause) {
      if (!isBusy(cause)) throw this.#error('cannot be taken', cause);
      if (connection.isTransaction) connection.exec('ROLLBACK');
      return false;
    }
  }

  #error(what: string, cause?: unknown): LockError {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    return new LockError(`the lock file ${this.#path} ${what}${why}`, { cause });
  }
}

/** Whether an error is SQLITE_BUSY; what is above the lowest byte says more about it. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    (error.errcode & 0xff) === busy
  );
}
