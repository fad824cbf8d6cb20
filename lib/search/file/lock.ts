import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseSync } from 'node:sqlite';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';

/** Not imported: an older Node lacks the module, and would exit before it reports that it is too old. */
const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');

const defaultTimeoutMs = 10_000;

/** Waiting callers in this process, each of which holds a push in memory. */
const queueLimit = 1_000;

/** Bounds of the random pause between two attempts. */
const pauseMs = { min: 1, max: 10 };

/** SQLITE_BUSY: another connection holds the lock (sqlite.org/rescode.html). */
const sqliteBusy = 5;

/** The last statement is never committed. It fails on a read-only file, which BEGIN EXCLUSIVE would not lock. */
const lockStatements = 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE; PRAGMA user_version = 0';

/** The lock is unavailable. The message has the reason and the remedy. */
export class LockError extends Error {
  override readonly name = 'LockError';
}

/**
 * A lock between processes: that of an SQLite database to which nothing is written. The system releases it when its
 * holder is killed, for which Node has no other means. Nothing else may open the file: closing it releases all locks that
 * its process holds on it (fcntl(2)).
 */
export class FileLock {
  readonly #path: string;
  readonly #timeoutMs: number;
  /** Queues the callers of this process. */
  readonly #queue: ConcurrencyLimit;
  #closed = false;

  /** @param timeoutMs how long a caller waits */
  constructor(path: string, timeoutMs: number = defaultTimeoutMs) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    this.#queue = new ConcurrencyLimit(1, { queueLimit, timeoutMs, busy: () => this.#held() });
  }

  /** Runs a task under the lock. @throws LockError */
  async during<T>(act: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#timeoutMs;
    if (this.#closed)
      throw this.#error('is closed because its process is stopping; the next reindex adds what is missing');
    return await this.#queue.run(async () => {
      const lock = await this.#acquire(deadline);
      try {
        return await act();
      } finally {
        lock.close();
      }
    });
  }

  /** Rejects new tasks; running and queued ones complete. */
  close(): void {
    this.#closed = true;
  }

  /** @returns the connection that holds the lock until it is closed */
  async #acquire(deadline: number): Promise<DatabaseSync> {
    for (;;) {
      const lock = this.#try();
      if (lock !== undefined) return lock;
      if (performance.now() >= deadline) throw this.#held();
      await sleep(pauseMs.min + Math.random() * (pauseMs.max - pauseMs.min));
    }
  }

  /** Opens a new connection each time, since an old one may lock a deleted file. @returns undefined if it is locked */
  #try(): DatabaseSync | undefined {
    let lock: DatabaseSync | undefined;
    try {
      lock = new Database(this.#path, { timeout: 0 });
      lock.exec(lockStatements);
      return lock;
    } catch (cause) {
      lock?.close();
      // The lowest byte is the primary result code.
      if ((Number((cause as { errcode?: number }).errcode) & 0xff) === sqliteBusy) return undefined;
      throw this.#error(
        "cannot be used; give the registry's user access to it and to its folder, and if it is a file with content, " +
          `delete it while no registry runs (${String(cause)})`,
        cause,
      );
    }
  }

  #held(): LockError {
    return this.#error(
      `was held by others for ${this.#timeoutMs} ms, or ${queueLimit} callers of this process wait for it; look for a ` +
        `process that hangs (fuser -v ${this.#path} names its users, on each machine that shares it) and for a reindex ` +
        'with a slow bucket, and check that the file system has locks; npm run reindex adds what is missing',
    );
  }

  #error(what: string, cause?: unknown): LockError {
    return new LockError(`the lock file ${this.#path} ${what}`, { cause });
  }
}
