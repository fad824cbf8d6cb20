import type { BigIntStats, Stats } from 'node:fs';
import fs, { constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { inParallel } from '../../concurrency/in-parallel.ts';
import { CoalescedRead } from '../../concurrency/coalesced-read.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import type { Page } from '../../protocol/pages.ts';
import type { NamePage } from '../../registry/interface.ts';
import { assertNotExpired } from '../../storage/deadline.ts';
import { hasCode, ignoring } from '../../storage/file-errors.ts';
import { compareKeys } from '../../storage/store.ts';
import { pageOfMatches } from '../matches.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from '../search-backend.ts';
import { FileLock, LockError } from './lock.ts';

/** Concurrent lookups in the bucket. */
const parallelProbes = 16;

/** Names removed per step. Other users wait for the lock while they are looked up in the bucket. */
const removalsPerStep = 200;

/** Pause between two steps, for other users of the lock. */
const stepPauseMs = 50;

/** Two changes within this time can have the same timestamps: clocks of file systems tick every few milliseconds. */
const clockTickNs = 100_000_000n;

/** Size of the largest file that is read. The whole file and its names must fit into memory. */
const maxBytes = 64 * 1024 * 1024;

const setting = 'SEARCH_BACKEND_LOCAL';

/** Codes of a file system that is read-only or full. */
const readOnlyCodes: readonly string[] = ['EROFS', 'ENOSPC', 'EDQUOT'];

/** Codes where the file cannot be replaced by a rename, such as a mount point of a container. */
const irreplaceableCodes: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV'];

/** Codes where owner or mode cannot be set. */
const ownerlessCodes: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOSYS', 'ENOTSUP'];

interface List {
  /** Unique, in byte order. */
  readonly names: readonly string[];
  readonly stats: BigIntStats;
}

/**
 * The list in a text file, one name per line, as in the original registry. Processes share the file by locking
 * `<file>.lock`. The names are cached while the file is unchanged. A missing or empty file is not a list yet; only a
 * reindex creates it.
 */
export class LocalFile implements SearchBackend {
  readonly readOnly: string | undefined;
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #reading = new CoalescedRead(async () => await this.#locked(async () => await this.#read()));
  /** As last read; undefined if a later change could go unnoticed. */
  #cache: List | undefined;

  private constructor(path: string, lock: FileLock, readOnly?: string) {
    this.#path = path;
    this.#lock = lock;
    this.readOnly = readOnly;
  }

  /**
   * Creates the folder and the lock if they are missing. On a read-only or full file system the list can still be read.
   * @param timeoutMs how long to wait for the lock
   * @throws Error with a remedy if the file or its lock cannot be used
   */
  static async open(path: string, timeoutMs?: number): Promise<LocalFile> {
    let real = resolve(path);
    try {
      await createFolder(dirname(real));
      // All processes use the same lock, and a symbolic link is not replaced.
      real = (await ignoring(['ENOENT'], fs.realpath(real))) ?? real;
      const lock = new FileLock(`${real}.lock`, timeoutMs);
      await createLock(`${real}.lock`, real);
      await lock.during(async () => {
        await Promise.resolve();
      });
      return new LocalFile(real, lock);
    } catch (cause) {
      if (hasCode(cause, readOnlyCodes))
        return new LocalFile(real, new FileLock(`${real}.lock`), readOnlyBecause(path, cause));
      throw new Error(
        `${setting}: ${path} cannot be used (${String(cause)}): set it to a file that the registry may ` +
          'read and write, in a folder where it may create files, or grant that.',
        { cause },
      );
    }
  }

  async list({ n, last }: Page): Promise<NamePage> {
    const names = await this.#names();
    const start = firstAfter(names, last);
    return { names: names.slice(start, start + n), more: n > 0 && start + n < names.length };
  }

  async search(term: string, page: SearchPage): Promise<SearchResults> {
    return pageOfMatches(await this.#names(), term, page);
  }

  /** Reads under the lock even if the cache has the name: a reindex in progress may remove it. */
  async record(name: RepositoryName): Promise<void> {
    if (has(existing(await this.#reading.get()), name)) return;
    await this.#locked(async () => {
      const list = existing(await this.#read());
      if (!has(list, name)) await this.#replace([...list.names, name]);
    });
  }

  async forget(name: RepositoryName, bucket: Pick<BucketNames, 'has'>): Promise<void> {
    if (has(existing(await this.#reading.get()), name)) await this.#change(bucket, new Set(), [name]);
  }

  /**
   * Removes a name only if it was in the list before the bucket was listed, and a lookup under the lock finds it gone: a
   * concurrent push is recorded afterwards. Many removals take several steps, each of which leaves a complete list.
   */
  async reindex(
    bucket: BucketNames,
    onProgress: (done: number, total: number) => void = () => undefined,
  ): Promise<Reindexed> {
    const before = new Set((await this.#reading.get())?.names);
    let listed = new Set((await Array.fromAsync(bucket.all())).filter(isRepositoryName));
    const doubtful = [...before.difference(listed)] as RepositoryName[];
    const total = doubtful.length + listed.difference(before).size;
    let [names, added, removed] = [0, 0, 0];
    for (let at = 0; at === 0 || at < doubtful.length; at += removalsPerStep) {
      onProgress(at, total);
      if (at > 0) await sleep(stepPauseMs);
      const step = await this.#change(bucket, listed, doubtful.slice(at, at + removalsPerStep));
      [names, added, removed] = [step.names, added + step.added, removed + step.removed];
      listed = new Set();
    }
    onProgress(total, total);
    return { names, added, removed };
  }

  async #change(
    bucket: Pick<BucketNames, 'has'>,
    listed: ReadonlySet<string>,
    doubtful: readonly RepositoryName[],
  ): Promise<Reindexed> {
    return await this.#locked(async () => {
      const list = await this.#read();
      const now = new Set(list?.names);
      const there = await inParallel(doubtful, parallelProbes, async (name) => await bucket.has(name));
      const gone = new Set<string>(doubtful.filter((name, i) => now.has(name) && there[i] === false));
      const added = listed.difference(now);
      const names = [...now.union(added).difference(gone)];
      if (list === undefined || gone.size + added.size > 0) await this.#replace(names);
      return { names: names.length, added: added.size, removed: gone.size };
    });
  }

  async close(): Promise<void> {
    this.#lock.close();
    await Promise.resolve();
  }

  /** The current names. An unchanged file needs no lock, since every change alters its stats. */
  async #names(): Promise<readonly string[]> {
    const stats = await asUnavailable(ignoring(['ENOENT'], fs.stat(this.#path, { bigint: true })));
    const known = this.#cache;
    const isKnown = stats !== undefined && known !== undefined && isSame(known.stats, stats);
    return existing(isKnown ? known : await this.#reading.get()).names;
  }

  /** Under the lock. Always opens the file: on NFS that revalidates its stats. @returns undefined if it is missing or empty */
  async #read(): Promise<List | undefined> {
    const known = this.#cache;
    this.#cache = undefined;
    const handle = await asUnavailable(ignoring(['ENOENT'], fs.open(this.#path, 'r')));
    if (handle === undefined) return undefined;
    try {
      const stats = await handle.stat({ bigint: true });
      if (known !== undefined && isSame(known.stats, stats)) return (this.#cache = known);
      assertFits(stats.size);
      const startedNs = BigInt(Date.now()) * 1_000_000n;
      const text = await asUnavailable(handle.readFile('utf8'));
      if (text === '') return undefined;
      const list = { names: namesIn(text), stats };
      if (stats.ctimeNs < startedNs - clockTickNs) this.#cache = list;
      return list;
    } finally {
      await handle.close();
    }
  }

  /** Under the lock. Replaces the file atomically by a rename, or rewrites it where that is impossible. */
  async #replace(names: readonly string[]): Promise<void> {
    if (this.readOnly !== undefined) throw unavailable(new Error(this.readOnly));
    assertNotExpired();
    // Without names, the file has an empty line. Names are ASCII, so the order of strings is that of bytes.
    const bytes = Buffer.from(`${names.toSorted().join('\n')}\n`);
    assertFits(BigInt(bytes.length));
    await asUnavailable(replaceFile(this.#path, bytes));
  }

  /** A list that can only be read needs no lock. */
  async #locked<T>(act: () => Promise<T>): Promise<T> {
    if (this.readOnly !== undefined) return await act();
    try {
      return await this.#lock.during(act);
    } catch (error) {
      throw error instanceof LockError
        ? unavailable(new Error(`${setting}: ${error.message}`, { cause: error.cause }))
        : error;
    }
  }
}

/** Instead of mkdir's `recursive`, which never returns where a parent takes no folders, such as /proc. */
async function createFolder(path: string): Promise<void> {
  if ((await ignoring(['ENOENT'], fs.stat(path))) !== undefined) return;
  await createFolder(dirname(path));
  await ignoring(['EEXIST'], fs.mkdir(path));
}

/** Gives the lock the owner and mode of the list, even if root opens it first. */
async function createLock(path: string, list: string): Promise<void> {
  const stats = await ignoring(['ENOENT'], fs.stat(list));
  if (stats?.isFile() === false) throw new Error('it is not a regular file');
  // Only if it is missing: closing the file releases all locks that this process holds on it.
  await (await ignoring(['EEXIST'], fs.open(path, 'wx')))?.close();
  if (stats !== undefined) {
    await ignoring(ownerlessCodes, fs.lchown(path, stats.uid, stats.gid));
    await ignoring(ownerlessCodes, fs.chmod(path, stats.mode & 0o777));
  }
  await fs.access(path, constants.R_OK | constants.W_OK);
}

async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  // A fixed name, so that the next call replaces what a killed process leaves.
  const temporary = `${path}.reindexed`;
  try {
    await fs.rm(temporary, { force: true });
    await write(temporary, 'wx', bytes, await ignoring(['ENOENT'], fs.stat(path)));
    await fs.rename(temporary, path);
  } catch (error) {
    await ignoring(irreplaceableCodes, fs.rm(temporary, { force: true }));
    if (!hasCode(error, irreplaceableCodes)) throw error;
    await write(path, 'r+', bytes);
  }
}

/** @param like the file whose owner and mode are copied as far as permitted; the mode last, to never grant too much */
async function write(path: string, flags: string, bytes: Buffer, like?: Stats): Promise<void> {
  const handle = await fs.open(path, flags);
  try {
    await handle.writeFile(bytes);
    await handle.truncate(bytes.length);
    if (like !== undefined) {
      // Members of a group may set it without being root.
      await ignoring(ownerlessCodes, handle.chown(-1, like.gid));
      await ignoring(ownerlessCodes, handle.chown(like.uid, like.gid));
      await ignoring(ownerlessCodes, handle.chmod(like.mode & 0o777));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Ignores lines that are no names: the last release started a file with `# not whole`. */
function namesIn(text: string): string[] {
  return [...new Set(text.split(/\r?\n/).filter(isRepositoryName))].sort();
}

/** Whether the file is unchanged. */
function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** The index of the first name above `last`. */
function firstAfter(names: readonly string[], last: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(names[middle] ?? '', last) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

function has({ names }: List, name: string): boolean {
  return names[firstAfter(names, name) - 1] === name;
}

/** @throws RegistryError SEARCH_UNAVAILABLE if no reindex has created the list */
function existing(list: List | undefined): List {
  if (list !== undefined) return list;
  throw unavailable(
    new Error('the list does not exist yet: npm run reindex creates it, and so does npm run serve'),
  );
}

/** @throws RegistryError SEARCH_UNAVAILABLE for a file that is too large to read */
function assertFits(size: bigint): void {
  if (size > maxBytes)
    throw unavailable(
      new Error(
        `${setting}: the list has ${size} bytes, more than ${maxBytes}; if the file is a list of repositories, ` +
          'set SEARCH_BACKEND=MYSQL or remove SEARCH_BACKEND, else name another file',
      ),
    );
}

/** Turns file errors into SEARCH_UNAVAILABLE. */
async function asUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw unavailable(error);
  }
}

function readOnlyBecause(path: string, cause: unknown): string {
  return `${setting}: ${path} can only be read (${String(cause)}): pushes do not change the list`;
}

function unavailable(cause: unknown): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause });
}
