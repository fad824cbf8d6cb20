import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseSync } from 'node:sqlite';
import { Semaphore } from '../../concurrency/semaphore.ts';

/** Not by an import: an older Node has no such module, and would end before it is told that it is too old. */
const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');

/** How long a use waits for others, in milliseconds. */
const defaultPatience = 10_000;

/** How many of this process may wait at once: more than get their turn in that time, and each holds a push in memory. */
const queueLimit = 1_000;

/** Bounds of the waits between two tries, in milliseconds; random, so that those who wait do not meet again and again. */
const wait = { shortest: 1, longest: 10 };

/** Of SQLite, where another one has the lock (sqlite.org/rescode.html, SQLITE_BUSY). */
const busy = 5;

/** The last statement is never committed: it fails where the file may only be read, on which BEGIN EXCLUSIVE locks nothing. */
const begin = 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE; PRAGMA user_version = 0';

/** A lock was not to be had. The message says why, and what to do about it. */
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
  /** Within the process, in the order they came. */
  readonly #turns: Semaphore;
  #closed = false;

  /** @param patience milliseconds until one who waits gives up */
  constructor(path: string, patience: number = defaultPatience) {
    this.#path = path;
    this.#patience = patience;
    this.#turns = new Semaphore(1, { queueLimit, timeoutMs: patience, busy: () => this.#held() });
  }

  /** Does something while nobody else has the lock. @throws LockError when the lock was not to be had */
  async during<T>(act: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#patience;
    if (this.#closed)
      throw this.#error('was closed, as its process ends; the next reindex makes up for what it missed');
    return await this.#turns.run(async () => {
      const lock = await this.#acquire(deadline);
      try {
        return await act();
      } finally {
        lock.close();
      }
    });
  }

  /** What is under way goes on to its end, also what waits; nothing begins any more. */
  close(): void {
    this.#closed = true;
  }

  /** @returns what holds the lock until it is closed */
  async #acquire(deadline: number): Promise<DatabaseSync> {
    for (;;) {
      const lock = this.#try();
      if (lock !== undefined) return lock;
      if (performance.now() >= deadline) throw this.#held();
      await sleep(wait.shortest + Math.random() * (wait.longest - wait.shortest));
    }
  }

  /** @returns undefined where another one has it. A connection of before would still hold the lock of a file that is gone. */
  #try(): DatabaseSync | undefined {
    let lock: DatabaseSync | undefined;
    try {
      lock = new Database(this.#path, { timeout: 0 });
      lock.exec(begin);
      return lock;
    } catch (cause) {
      lock?.close();
      // What is above the lowest byte says more about it.
      if ((Number((cause as { errcode?: number }).errcode) & 0xff) === busy) return undefined;
      throw this.#error(
        "cannot be used; give the registry's user the right to it and to its folder, and where it is a file that has " +
          `something in it, delete it while no registry runs (${String(cause)})`,
        cause,
      );
    }
  }

  #held(): LockError {
    return this.#error(
      `was held by others for ${this.#patience} ms, or ${queueLimit} of this process wait for it; look for a process that ` +
        `hangs (fuser -v ${this.#path} names those that have it, on each machine that shares it), for a reindex whose ` +
        'bucket is slow, and whether its file system has locks; npm run reindex makes up for what is missed',
    );
  }

  #error(what: string, cause?: unknown): LockError {
    return new LockError(`the lock file ${this.#path} ${what}`, { cause });
  }
}
