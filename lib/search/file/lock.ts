import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

import { ReadWriteLock, type LockMode } from '../read-write-lock.ts';

/** Not by an import: an older Node has no such module, and would end before it is told that it is too old. */
const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');

/** How long a use waits for others, in milliseconds. */
const defaultPatience = 10_000;

/** How many of this process may wait at once: more than get their turn in that time, and each holds a push in memory. */
const maxWaiting = 1_000;

/** Bounds of the waits between two tries, in milliseconds; random, so that those who wait do not meet again and again. */
const wait = { shortest: 5, longest: 25 };

/** How long one try keeps others from coming in shared, and blocks the event loop, in milliseconds. */
const turn = 25;

/** What SQLite says (sqlite.org/rescode.html); what is above the lowest byte says more about it. */
const codes = { perm: 3, busy: 5, readonly: 8, corrupt: 11, cantOpen: 14, notADatabase: 26 };

/** A journal in memory, as a file of it could not be made in a folder that is read-only. */
const withoutFile = 'PRAGMA journal_mode = MEMORY';

/** Fails with SQLITE_BUSY where another one has the lock alone, or waits for that. */
const probe = `${withoutFile}; BEGIN IMMEDIATE; ROLLBACK`;

/** SQLite takes the lock only where something is read. */
const beginShared = 'BEGIN; SELECT count(*) FROM sqlite_master';

/**
 * SQLite's own waiting keeps new readers out (PENDING, sqlite.org/lockingv3.html): else they could follow upon each other
 * without a gap for ever. It is worth that only where there are no other writers, which may take long; they would not
 * let this one in anyway. What is written at the end is never committed: it fails where the file may only be read, for
 * which BEGIN EXCLUSIVE locks nothing and says nothing.
 */
const beginExclusive = `${probe}; PRAGMA busy_timeout = ${turn}; BEGIN EXCLUSIVE; PRAGMA user_version = 0`;

/** A lock was not to be had. The message says why, and what to do about it. */
export class LockError extends Error {
  override readonly name = 'LockError';
}

/** Those of this process that use one file. */
interface Queue {
  /** Held while the file's lock is tried for or held, not between two tries. */
  readonly uses: ReadWriteLock;
  /** Held by the one who tries for the file's lock alone: as a try blocks the event loop, there is one at a time. */
  readonly writers: ReadWriteLock;
}

/** By path. None is ever taken away, as a process has one list. */
const queues = new Map<string, Queue>();

/**
 * A lock between processes. It is that of an SQLite database in which nothing is ever written, because that one is let
 * go by the system itself when its holder is killed, which Node has no other means for. Whoever wants it alone goes
 * before those that come later and want it shared, in this process and in others.
 *
 * Nothing else may open the file: who closes it lets go of all locks its process has on it (fcntl(2)).
 */
export class FileLock {
  readonly #path: string;
  readonly #patience: number;
  readonly #queue: Queue;
  #closed = false;

  /** @param patience milliseconds until one who waits gives up */
  constructor(path: string, patience: number = defaultPatience) {
    this.#path = resolve(path);
    this.#patience = patience;
    this.#queue = queueOf(this.#path);
  }

  /** Makes the file where it is missing. @throws LockError */
  make(): void {
    this.#begin();
    this.#connect().close();
  }

  /** Does something while nobody has the lock for itself. @throws LockError when the lock was not to be had */
  async shared<T>(act: () => Promise<T>): Promise<T> {
    return await this.#holding('shared', this.#begin(), act);
  }

  /** Does something while nobody else has the lock. @throws LockError when the lock was not to be had */
  async exclusive<T>(act: () => Promise<T>): Promise<T> {
    const deadline = this.#begin();
    return await this.#inTurn(
      this.#queue.writers,
      'exclusive',
      deadline,
      async () => await this.#holding('exclusive', deadline, act),
    );
  }

  /** What is under way goes on to its end, also what waits; nothing begins any more. */
  close(): void {
    this.#closed = true;
  }

  /** @returns when the one who begins gives up */
  #begin(): number {
    if (this.#closed)
      throw this.#error('was closed, as its process ends; the next reindex makes up for what it missed');
    return performance.now() + this.#patience;
  }

  async #holding<T>(mode: LockMode, deadline: number, act: () => Promise<T>): Promise<T> {
    for (;;) {
      const tried = await this.#inTurn(
        this.#queue.uses,
        mode,
        deadline,
        async () => await this.#try(mode, act),
      );
      if ('result' in tried) return tried.result;
      if (performance.now() >= deadline) throw this.#held();
      // Not with the lock of the queue: meanwhile others of this process may have it, as those of others.
      await sleep(tried.pause);
    }
  }

  async #inTurn<T>(
    queue: ReadWriteLock,
    mode: LockMode,
    deadline: number,
    act: () => Promise<T>,
  ): Promise<T> {
    if (queue.waiting >= maxWaiting)
      throw this.#error(
        `is waited for by ${maxWaiting} others of this process; npm run reindex makes up for what is missed`,
      );
    if (!(await queue.acquire(mode, deadline))) throw this.#held();
    try {
      return await act();
    } finally {
      queue.release();
    }
  }

  /** Does something under the lock if it is to be had now. @returns the result, or milliseconds until the next try */
  async #try<T>(mode: LockMode, act: () => Promise<T>): Promise<{ result: T } | { pause: number }> {
    // A connection has one transaction, so each use has one; an old one would still hold the lock of a file that is gone.
    const connection = this.#connect();
    try {
      const start = performance.now();
      if (this.#hasBegun(connection, mode)) return { result: await act() };
      // The event loop is for others most of the time, also while a process that hangs holds the lock.
      const blocked = performance.now() - start;
      return { pause: 3 * blocked + wait.shortest + Math.random() * (wait.longest - wait.shortest) };
    } finally {
      connection.close();
    }
  }

  #connect(): DatabaseSync {
    try {
      return new Database(this.#path, { timeout: 0 });
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  #hasBegun(connection: DatabaseSync, mode: LockMode): boolean {
    try {
      // SQLite lets in who shares it with others of the process without a look at whoever waits in another one.
      if (mode === 'shared' && this.#queue.uses.holders > 1) connection.exec(probe);
      connection.exec(mode === 'shared' ? beginShared : beginExclusive);
      return true;
    } catch (cause) {
      if (codeOf(cause) !== codes.busy) throw this.#unusable(cause);
      return false;
    }
  }

  #held(): LockError {
    return this.#error(
      `was held by others for ${this.#patience} ms; look for a process that hangs (fuser -v ${this.#path} names ` +
        `those that have it, on each machine that shares it), for a reindex whose bucket is slow, and whether its file system has locks`,
    );
  }

  #unusable(cause: unknown): LockError {
    const said = cause instanceof Error ? cause.message : String(cause);
    return this.#error(`${adviceOn(codeOf(cause))} (${said})`, cause);
  }

  #error(what: string, cause?: unknown): LockError {
    return new LockError(`the lock file ${this.#path} ${what}`, { cause });
  }
}

function queueOf(path: string): Queue {
  const queue = queues.get(path) ?? { uses: new ReadWriteLock(), writers: new ReadWriteLock() };
  queues.set(path, queue);
  return queue;
}

/** What is wrong with a lock file, and what to do. */
function adviceOn(code: number): string {
  switch (code) {
    case codes.notADatabase:
    case codes.corrupt:
      return 'is no lock: another program has written to it; delete it while no registry runs, and the next start makes it anew';
    case codes.cantOpen:
    case codes.readonly:
    case codes.perm:
      return "cannot be opened to be read and written; give the registry's user the right to it and to its folder, and see that it is a file";
    default:
      return 'cannot be locked; see whether its disk or network file system has faults, or no locks';
  }
}

/** What SQLite says, without what says more about it; -1 where it says nothing. */
function codeOf(error: unknown): number {
  if (!(error instanceof Error && 'errcode' in error && typeof error.errcode === 'number')) return -1;
  return error.errcode & 0xff;
}
