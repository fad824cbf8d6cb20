import fs, { constants, type BigIntStats } from 'node:fs';

import { close, fstat, lstat, open, readAt } from './calls.ts';
import { LocalFileSystems } from './local-file-systems.ts';
import { RecentPaths } from './recent-paths.ts';
import { readFlags } from './small-files.ts';
import { UnchangedFiles } from './unchanged-files.ts';

/** Larger files are always read asynchronously. */
const maxSyncBytes = 64 * 1024;

/** A synchronous call that takes longer had to wait for the disk, … */
const slowMs = 50;

/** … and all calls are asynchronous for this long after it. */
const pauseMs = 1000;

/** Synchronous calls in one turn of the event loop take this long together: a manifest may need thousands. */
const maxTurnMs = 5;

const bigint = { bigint: true } as const;

/** Without it, a read may have to write the time of access, which waits for the disk. Only on Linux. */
const recentFlags = readFlags | ((constants.O_NOATIME as number | undefined) ?? 0);

/** Does not block on a pipe that replaces a folder. */
export const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK;

export interface SmallFile {
  readonly stats: BigIntStats;
  /** Undefined if it is not a regular file, or too large. */
  readonly bytes: Buffer | undefined;
}

/**
 * Looks up and reads the small files of a store, of which a request needs several.
 *
 * A call that the kernel can answer from its cache takes some microseconds; to hand it to another thread and back takes ten
 * times as long. So what was looked up or read within the last seconds, on a file system that is known to be local, is looked
 * up or read again synchronously. Everything else is asynchronous: what may wait for a disk, a network or a program does not
 * block other requests. Each call asks the kernel, also for the few files whose content is kept; see {@link UnchangedFiles}.
 */
export class Files {
  readonly #local = new LocalFileSystems();
  readonly #looked = new RecentPaths();
  readonly #read = new RecentPaths();
  readonly #unchanged = new UnchangedFiles();
  #pausedUntil = 0;
  /** When the first synchronous call in this turn of the event loop began. */
  #turnStarted: number | undefined;
  #mayReadSync = recentFlags !== readFlags;

  /** lstat(2): of a link itself, or of the folder it leads to if the path ends with a slash. */
  async lstat(path: string): Promise<BigIntStats> {
    const known = this.lstatNow(path);
    if (known !== undefined) return known;
    const stats = await lstat(path);
    if (this.isLocal(stats.dev, path)) this.#looked.add(path);
    return stats;
  }

  /** As {@link lstat}, but only if it need not wait; undefined also if there is nothing at the path. */
  lstatNow(path: string): BigIntStats | undefined {
    return this.#now(this.#looked, path, () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }));
  }

  /** Whether a device is known to be a local file system. @param path of a file on it */
  isLocal(device: bigint, path: string): boolean {
    return this.#local.has(device, path);
  }

  /** @param limit largest number of bytes to read */
  async read(path: string, limit: number): Promise<SmallFile> {
    const known = this.readNow(path, limit);
    if (known !== undefined) return known;
    const file = await read(path, limit);
    this.used(path, file.stats);
    return file;
  }

  /** As {@link read}, but only if it need not wait. */
  readNow(path: string, limit: number): SmallFile | undefined {
    if (!this.#mayReadSync) return undefined;
    return this.#now(this.#read, path, () => {
      try {
        return this.#readUnchanged(path, limit) ?? this.#readSync(path, limit);
      } catch (error) {
        // Only the owner of a file may leave its time of access as it is.
        if ((error as NodeJS.ErrnoException).code === 'EPERM') this.#mayReadSync = false;
        throw error;
      }
    });
  }

  /** One call of the kernel in place of four. */
  #readUnchanged(path: string, limit: number): SmallFile | undefined {
    if (!this.#unchanged.has(path)) return undefined;
    const stats = fs.lstatSync(path, bigint);
    const bytes = this.#unchanged.get(path, stats);
    return bytes === undefined || bytes.length > limit ? undefined : { stats, bytes };
  }

  #readSync(path: string, limit: number): SmallFile | undefined {
    const file = readSync(path, limit);
    if (file?.bytes !== undefined) this.#unchanged.add(path, file.stats, file.bytes);
    return file;
  }

  /** Notes that a file has just been read or written whole, so the kernel has it in its cache. */
  used(path: string, { dev, size }: BigIntStats): void {
    if (size > maxSyncBytes || !this.isLocal(dev, path)) return;
    this.#looked.add(path);
    this.#read.add(path);
  }

  /** Whether a folder was there within the last seconds; it may be gone by now. */
  hadFolder(path: string): boolean {
    return this.#looked.has(`${path}/`);
  }

  /** Notes that a folder on a local file system is there. */
  usedFolder(path: string): void {
    this.#looked.add(`${path}/`);
  }

  /**
   * Opens a folder, to sync it.
   * @param isLocal whether it is known to be on a local file system, as that of a file that was just renamed into it
   * @returns the descriptor, which must be closed, and whether that takes no thread
   */
  async openFolder(
    path: string,
    isLocal: boolean,
  ): Promise<{ readonly file: number; readonly isLocal: boolean }> {
    const folder = `${path}/`;
    if (isLocal) this.#looked.add(folder);
    const file = this.#now(this.#looked, folder, () => fs.openSync(path, folderFlags));
    return file === undefined
      ? { file: await open(path, folderFlags), isLocal: false }
      : { file, isLocal: true };
  }

  /** Whatever fails is left to an asynchronous call, which reports it. */
  #now<T>(recent: RecentPaths, path: string, call: () => T | undefined): T | undefined {
    const started = performance.now();
    if (started < this.#pausedUntil || !recent.has(path) || !this.#isInTurn(started)) return undefined;
    let result: T | undefined;
    try {
      result = call();
    } catch {
      result = undefined;
    }
    if (result === undefined) recent.delete(path);
    const ended = performance.now();
    if (ended - started > slowMs) this.#pausedUntil = ended + pauseMs;
    return result;
  }

  /** Whether this turn has time left. */
  #isInTurn(now: number): boolean {
    if (this.#turnStarted !== undefined) return now - this.#turnStarted < maxTurnMs;
    this.#turnStarted = now;
    setImmediate(() => {
      this.#turnStarted = undefined;
    });
    return true;
  }
}

function readSync(path: string, limit: number): SmallFile | undefined {
  const file = fs.openSync(path, recentFlags);
  try {
    const stats = fs.fstatSync(file, bigint);
    if (!stats.isFile() || stats.size > limit) return { stats, bytes: undefined };
    if (stats.size > maxSyncBytes) return undefined;
    const bytes = Buffer.allocUnsafe(Number(stats.size));
    for (let at = 0; at < bytes.length;) {
      const count = fs.readSync(file, bytes, at, bytes.length - at, at);
      if (count === 0) return undefined;
      at += count;
    }
    return { stats, bytes };
  } finally {
    fs.closeSync(file);
  }
}

async function read(path: string, limit: number): Promise<SmallFile> {
  const file = await open(path, readFlags);
  try {
    const stats = await fstat(file);
    if (!stats.isFile() || stats.size > limit) return { stats, bytes: undefined };
    const bytes = Buffer.allocUnsafe(Number(stats.size));
    for (let at = 0; at < bytes.length;) {
      const count = await readAt(file, bytes, at);
      if (count === 0) throw new Error(`${path} ends at ${at} bytes, not ${bytes.length}`);
      at += count;
    }
    return { stats, bytes };
  } finally {
    // Not waited for: nothing depends on it, and the descriptor is free even if it fails.
    void close(file).catch(() => undefined);
  }
}
