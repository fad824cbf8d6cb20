import type { BigIntStats, Stats } from 'node:fs';
import fs, { constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { inParallel } from '../../concurrency/in-parallel.ts';
import { SharedRead } from '../../concurrency/shared-read.ts';
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

/** How many names the bucket is asked for at once. */
const parallelQuestions = 16;

/** Names that are taken away at once: the others wait for the lock while the bucket is asked for them. */
const goneAtOnce = 200;

/** Milliseconds for the others between two such steps. */
const turnOfOthers = 50;

/**
 * Nanoseconds after a change in which another one can have the same times, as the clock of file systems ticks coarsely;
 * some milliseconds on Linux.
 */
const tick = 100_000_000n;

/** What names the file. */
const setting = 'SEARCH_BACKEND_LOCAL';

/** What a file system says that is read-only or full. */
const withoutWrites: readonly string[] = ['EROFS', 'ENOSPC', 'EDQUOT'];

/** What it says where no file can be made beside the list or renamed to it, such as to the mount point of a container. */
const irreplaceable: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV'];

/** What it says that knows no owners or modes, or has them of its own. */
const ownerless: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOSYS', 'ENOTSUP'];

/** What the file has. */
interface List {
  /** In byte order, none twice. */
  readonly names: readonly string[];
  readonly stats: BigIntStats;
}

/**
 * The list in a text file, one name a line, as the registry before this one had it. Any number of processes may share
 * the file: they lock `<file>.lock` beside it. Nothing is kept but the names as last read, while the file is unchanged.
 * A file that is missing or has no byte is not the list yet, so a push does not make it: the reindex does.
 */
export class LocalFile implements SearchBackend {
  readonly readOnly: string | undefined;
  readonly #path: string;
  readonly #lock: FileLock;
  /** Many readers meet a change at the same time, and many pushes are of names that are there. */
  readonly #reading = new SharedRead(async () => await this.#locked(async () => await this.#read()));
  /** As last read, where other content of the file would have other stats. */
  #cache: List | undefined;

  private constructor(path: string, lock: FileLock, readOnly?: string) {
    this.#path = path;
    this.#lock = lock;
    this.readOnly = readOnly;
  }

  /**
   * Makes the folder and the lock where they are missing. Waits while another process has the lock. On a file system that is
   * read-only or full it is opened all the same, to be read.
   * @param patience milliseconds to wait for others that have the lock; also for a read that is under way, before the own
   * @throws Error saying what to do when the file or its lock cannot be used
   */
  static async open(path: string, patience?: number): Promise<LocalFile> {
    let real = resolve(path);
    try {
      await makeFolder(dirname(real));
      // All who share the file have the same lock, and a link to it is not replaced.
      real = (await ignoring(['ENOENT'], fs.realpath(real))) ?? real;
      const lock = new FileLock(`${real}.lock`, patience);
      await makeLock(`${real}.lock`, real);
      await lock.during(async () => {
        await Promise.resolve();
      });
      return new LocalFile(real, lock);
    } catch (cause) {
      if (hasCode(cause, withoutWrites))
        return new LocalFile(real, new FileLock(`${real}.lock`), readOnlyBecause(path, cause));
      throw new Error(
        `${setting}: ${path} cannot be used (${String(cause)}): set it to a file that the registry may ` +
          'read and write, in a folder in which it may make others, or make it so.',
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

  /**
   * Asks under the lock even for a name that was there just now: a reindex that takes it away may be under way. So a read
   * must begin after the call, but may be that of others too.
   */
  async record(name: RepositoryName): Promise<void> {
    if (has(made(await this.#reading.get()), name)) return;
    await this.#locked(async () => {
      const list = made(await this.#read());
      if (!has(list, name)) await this.#replace([...list.names, name]);
    });
  }

  /**
   * A name is taken away only if it was there before the bucket was listed and the bucket, asked for it alone under the lock,
   * does not have it: a push that comes meanwhile is recorded afterwards. Very many go in several steps, each of which leaves
   * a list with all that the bucket has.
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
    for (let at = 0; at === 0 || at < doubtful.length; at += goneAtOnce) {
      onProgress(at, total);
      if (at > 0) await sleep(turnOfOthers);
      const step = await this.#change(bucket, listed, doubtful.slice(at, at + goneAtOnce));
      [names, added, removed] = [step.names, added + step.added, removed + step.removed];
      listed = new Set();
    }
    onProgress(total, total);
    return { names, added, removed };
  }

  /** Adds what is listed and takes away what is gone. */
  async #change(
    bucket: BucketNames,
    listed: ReadonlySet<string>,
    doubtful: readonly RepositoryName[],
  ): Promise<Reindexed> {
    return await this.#locked(async () => {
      const list = await this.#read();
      const now = new Set(list?.names);
      const there = await inParallel(doubtful, parallelQuestions, async (name) => await bucket.has(name));
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

  /** The names as they are now. An unchanged file needs no lock: whoever is changing it has changed its stats. */
  async #names(): Promise<readonly string[]> {
    const stats = await reached(ignoring(['ENOENT'], fs.stat(this.#path, { bigint: true })));
    const known = this.#cache;
    const isKnown = stats !== undefined && known !== undefined && isSame(known.stats, stats);
    return made(isKnown ? known : await this.#reading.get()).names;
  }

  /** Undefined when the file is missing or has no byte. Opens it in any case, which on NFS is what asks the server. Under the lock. */
  async #read(): Promise<List | undefined> {
    const known = this.#cache;
    this.#cache = undefined;
    const handle = await reached(ignoring(['ENOENT'], fs.open(this.#path, 'r')));
    if (handle === undefined) return undefined;
    try {
      const stats = await handle.stat({ bigint: true });
      if (known !== undefined && isSame(known.stats, stats)) return (this.#cache = known);
      const begun = BigInt(Date.now()) * 1_000_000n;
      const text = await reached(handle.readFile('utf8'));
      if (text === '') return undefined;
      const list = { names: namesIn(text), stats };
      if (stats.ctimeNs < begun - tick) this.#cache = list;
      return list;
    } finally {
      await handle.close();
    }
  }

  /**
   * Replaces all names: readers see the old file or the new one, even those that know nothing of the lock, wherever a
   * file can be renamed to this one. Elsewhere it is rewritten. Under the lock.
   */
  async #replace(names: readonly string[]): Promise<void> {
    if (this.readOnly !== undefined) throw unavailable(new Error(this.readOnly));
    assertNotExpired();
    // Without any there is an empty line. Names are ASCII, for which the order of strings is that of bytes.
    await reached(replaceFile(this.#path, Buffer.from(`${names.toSorted().join('\n')}\n`)));
  }

  /** A file that can only be read here has no lock either. */
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

/** Not by mkdir's `recursive`, which never ends where a parent is there and nothing can be made in it, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  if ((await ignoring(['ENOENT'], fs.stat(path))) !== undefined) return;
  await makeFolder(dirname(path));
  await ignoring(['EEXIST'], fs.mkdir(path));
}

/** Whoever owns the list owns its lock, also when root was the first to open it. */
async function makeLock(path: string, list: string): Promise<void> {
  const stats = await ignoring(['ENOENT'], fs.stat(list));
  if (stats?.isFile() === false) throw new Error('it is no regular file');
  // Not where it is there: who closes it lets go of all locks its process has on it.
  await (await ignoring(['EEXIST'], fs.open(path, 'wx')))?.close();
  if (stats !== undefined) {
    await ignoring(ownerless, fs.lchown(path, stats.uid, stats.gid));
    await ignoring(ownerless, fs.chmod(path, stats.mode & 0o777));
  }
  await fs.access(path, constants.R_OK | constants.W_OK);
}

async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  // Always the same name, so that what a killed process has left goes with the next.
  const temporary = `${path}.reindexed`;
  try {
    await fs.rm(temporary, { force: true });
    await write(temporary, 'wx', bytes, await ignoring(['ENOENT'], fs.stat(path)));
    await fs.rename(temporary, path);
  } catch (error) {
    await ignoring(irreplaceable, fs.rm(temporary, { force: true }));
    if (!hasCode(error, irreplaceable)) throw error;
    await write(path, 'r+', bytes);
  }
}

/** @param like whose owner and mode the file gets as far as we may; the mode last, so that it never lets in too many */
async function write(path: string, flags: string, bytes: Buffer, like?: Stats): Promise<void> {
  const handle = await fs.open(path, flags);
  try {
    await handle.writeFile(bytes);
    await handle.truncate(bytes.length);
    if (like !== undefined) {
      // The group alone can be given by its members too.
      await ignoring(ownerless, handle.chown(-1, like.gid));
      await ignoring(ownerless, handle.chown(like.uid, like.gid));
      await ignoring(ownerless, handle.chmod(like.mode & 0o777));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Valid names alone, whatever other programs have written: the last release began a file with `# not whole`. */
function namesIn(text: string): string[] {
  return [...new Set(text.split(/\r?\n/).filter(isRepositoryName))].sort();
}

/** Whether a file cannot have changed between the two. */
function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** Index of the first name after a text in byte order. */
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

/** @throws RegistryError where the list was not made from the bucket yet */
function made(list: List | undefined): List {
  if (list !== undefined) return list;
  throw unavailable(
    new Error(
      'the list was not made from the bucket yet: a reindex does that, with which npm run serve begins',
    ),
  );
}

/** Turns failures of the file into those of a list. */
async function reached<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw unavailable(error);
  }
}

function readOnlyBecause(path: string, cause: unknown): string {
  return `${setting}: ${path} can only be read (${String(cause)}): the list stays as it is, whatever is pushed`;
}

function unavailable(cause: unknown): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause });
}
