import fs, { constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import type { Page } from '../../protocol/pages.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { NamePage } from '../../registry/interface.ts';
import { assertInTime } from '../../storage/deadline.ts';
import { hasCode, ignoring } from '../../storage/file-errors.ts';
import { compareKeys } from '../../storage/store.ts';
import { FileLock, LockError } from './lock.ts';
import { firstAfter, isSame, ListFile, ownerless, type NameList } from './list-file.ts';
import { pageOfMatches } from '../matches.ts';
import type { BucketNames, Reindexed, SearchBackend, SearchPage, SearchResults } from '../search-backend.ts';
import { SharedRead } from '../../concurrency/shared-read.ts';

/** How many names the bucket is asked for at once. */
const parallelQuestions = 16;

/** Names that are taken away at once: the others wait for the lock while the bucket is asked for them. */
const goneAtOnce = 200;

/** Milliseconds for the others between two such steps. */
const turnOfOthers = 50;

/** What names the file. */
const setting = 'SEARCH_BACKEND_LOCAL';

/** What a file system says that is read-only or full. */
const withoutWrites: readonly string[] = ['EROFS', 'ENOSPC', 'EDQUOT'];

type Progress = (done: number, total: number) => void;

/**
 * The list in a text file, one name a line, as the registry before this one had it. Any number of processes may share
 * the file: they lock `<file>.lock` beside it. Nothing is kept but the names as last read, while the file is unchanged.
 */
export class LocalFile implements SearchBackend {
  readonly readOnly: string | undefined;
  readonly #file: ListFile;
  /** None of a file that cannot be changed here: the lock is a file as well. */
  readonly #lock: FileLock | undefined;
  /** Many readers meet a change at the same time, and many pushes are of names that are there. */
  readonly #reading = new SharedRead(async () => await this.#locked('shared', () => this.#read()));
  #cache: NameList | undefined;

  private constructor(file: ListFile, lock: FileLock | undefined, readOnly?: string) {
    this.#file = file;
    this.#lock = lock;
    this.readOnly = readOnly;
  }

  /**
   * Makes the file, its folder and its lock where they are missing. Waits while another process has the lock alone. On a file
   * system that is read-only or full it is opened all the same, to be read.
   * @param patience milliseconds to wait for others that have the lock; also for a read that is under way, before the own
   * @throws Error saying what to do when the file or its lock cannot be used
   */
  static async open(path: string, patience?: number): Promise<LocalFile> {
    try {
      const real = await makeFile(resolve(path));
      const lock = new FileLock(`${real}.lock`, patience);
      await makeLock(lock, `${real}.lock`, real);
      return new LocalFile(new ListFile(real), lock);
    } catch (cause) {
      if (cause instanceof LockError) throw adviceOn(cause);
      if (hasCode(cause, withoutWrites))
        return new LocalFile(new ListFile(resolve(path)), undefined, readOnlyBecause(path, cause));
      throw new Error(
        `${setting}: ${path} cannot be used (${String(cause)}): set it to a file that the registry may ` +
          'read and write, in a folder in which it may make others, or make it so.',
        { cause },
      );
    }
  }

  async list({ n, last }: Page): Promise<NamePage> {
    const names = await this.#names();
    if (n === 0) return { names: [], more: false };
    const start = firstAfter(names, last);
    return { names: names.slice(start, start + n), more: start + n < names.length };
  }

  async search(term: string, page: SearchPage): Promise<SearchResults> {
    return pageOfMatches(await this.#names(), term, page);
  }

  /**
   * Asks under the lock even for a name that was there just now: a reindex that takes it away may be under way. So a read
   * must begin after the call, but may be that of others too.
   */
  async record(name: RepositoryName): Promise<void> {
    if (has(await this.#reading.get(), name)) return;
    await this.#locked('exclusive', async () => {
      const list = await this.#read();
      if (has(list, name)) return;
      assertInTime();
      this.#cache = await reached(this.#file.append(name, list));
    });
  }

  /**
   * A name is taken away only if it was there before the bucket was listed and the bucket, asked for it alone, does not
   * have it; asked once more under the lock, so that a push that comes meanwhile is recorded afterwards. Very many go in
   * several steps, each of which leaves a list with all that the bucket has.
   */
  async reindex(bucket: BucketNames, onProgress: Progress = () => undefined): Promise<Reindexed> {
    if (this.#lock === undefined) throw unavailable(new Error(this.readOnly));
    const before = (await this.#reading.get())?.names ?? [];
    const listed = new Set<string>();
    for await (const name of bucket.all()) if (isRepositoryName(name)) listed.add(name);
    const doubtful = before.filter((name) => !listed.has(name));
    const missingBefore = listed.difference(new Set(before)).size;
    const progress = progressOf(doubtful.length + missingBefore, onProgress);
    const gone = await missing(bucket, doubtful, (isMissing) => {
      if (!isMissing) progress(1);
    });
    let { names, added, removed } = await this.#change(bucket, listed, gone.slice(0, goneAtOnce));
    progress(missingBefore + Math.min(gone.length, goneAtOnce));
    for (let at = goneAtOnce; at < gone.length; at += goneAtOnce) {
      await sleep(turnOfOthers);
      const some = gone.slice(at, at + goneAtOnce);
      const step = await this.#change(bucket, new Set(), some);
      progress(some.length);
      [names, added, removed] = [step.names, added + step.added, removed + step.removed];
    }
    return { names, added, removed };
  }

  /** Adds what is listed and takes away what is still gone, and leaves a list that is whole. */
  async #change(
    bucket: BucketNames,
    listed: ReadonlySet<string>,
    doubtful: readonly string[],
  ): Promise<Reindexed> {
    return await this.#locked('exclusive', async () => {
      const now = await this.#read();
      const gone = new Set(
        await missing(
          bucket,
          doubtful.filter((name) => has(now, name)),
        ),
      );
      const added = listed.difference(new Set(now?.names));
      if (now?.whole !== true || gone.size + added.size > 0) await this.#replace(now, added, gone);
      const names = (now?.names.length ?? 0) + added.size - gone.size;
      return { names, added: added.size, removed: gone.size };
    });
  }

  async close(): Promise<void> {
    this.#lock?.close();
    await Promise.resolve();
  }

  async #replace(
    now: NameList | undefined,
    added: ReadonlySet<string>,
    gone: ReadonlySet<string>,
  ): Promise<void> {
    const names = [...(now?.names ?? []), ...added].filter((name) => !gone.has(name)).sort(compareKeys);
    await reached(this.#file.replace(names, now));
  }

  /** The names as they are now. An unchanged file needs no lock: whoever is changing it has changed its stats. */
  async #names(): Promise<readonly string[]> {
    const stats = await reached(this.#file.stat());
    const known = this.#cache;
    const isKnown = stats !== undefined && known !== undefined && isSame(known.stats, stats);
    const list = isKnown ? known : await this.#reading.get();
    if (list === undefined)
      throw unavailable(new Error('the file of the list is missing: npm run reindex makes it'));
    if (!list.whole)
      throw unavailable(
        new Error(
          'the list was not made from the bucket yet: a reindex does that, with which npm run serve begins',
        ),
      );
    return list.names;
  }

  /** Undefined when the file is missing. Under the lock. */
  async #read(): Promise<NameList | undefined> {
    const list = await reached(this.#file.read(this.#cache));
    this.#cache = list?.settled === true ? list : undefined;
    return list;
  }

  async #locked<T>(kind: 'shared' | 'exclusive', act: () => Promise<T>): Promise<T> {
    if (this.#lock === undefined) {
      if (kind === 'shared') return await act();
      throw unavailable(new Error(this.readOnly));
    }
    try {
      return await this.#lock[kind](act);
    } catch (error) {
      throw error instanceof LockError ? unavailable(adviceOn(error)) : error;
    }
  }
}

/** @returns the path without links, so that all who share the file have the same lock, and a link is not replaced */
async function makeFile(path: string): Promise<string> {
  await makeFolder(dirname(path));
  const stats = await ignoring(['ENOENT'], fs.stat(path));
  if (stats?.isFile() === false) throw new Error('it is no regular file');
  await (await fs.open(path, 'a+')).close();
  return await fs.realpath(path);
}

/** Not by mkdir's `recursive`, which never ends where a parent is there and nothing can be made in it, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  if ((await ignoring(['ENOENT'], fs.stat(path))) !== undefined) return;
  await makeFolder(dirname(path));
  await ignoring(['EEXIST'], fs.mkdir(path));
}

/** Whoever owns the list owns its lock, also when root was the first to open it. Takes it once, to see that it is one. */
async function makeLock(lock: FileLock, path: string, list: string): Promise<void> {
  lock.make();
  if (!(await fs.lstat(path)).isFile()) throw new Error(`${path} is no file`);
  const { uid, gid, mode } = await fs.stat(list);
  await ignoring(ownerless, fs.lchown(path, uid, gid));
  await ignoring(ownerless, fs.chmod(path, mode & 0o777));
  await fs.access(path, constants.R_OK | constants.W_OK);
  await lock.shared(async () => {
    await Promise.resolve();
  });
}

/** Those of the names that the bucket does not have. */
async function missing(
  bucket: BucketNames,
  names: readonly string[],
  onAnswer: (isMissing: boolean) => void = () => undefined,
): Promise<string[]> {
  const known = names.filter(isRepositoryName);
  const gone = await inParallel(known, parallelQuestions, async (name) => {
    const isMissing = !(await bucket.has(name));
    onAnswer(isMissing);
    return isMissing;
  });
  return known.filter((_, i) => gone[i]);
}

/** Tells at once that nothing is done yet, and then of each so many changes more. */
function progressOf(total: number, onProgress: Progress): (more: number) => void {
  let done = 0;
  onProgress(done, total);
  return (more) => {
    onProgress((done += more), total);
  };
}

function has({ names }: Pick<NameList, 'names'> = { names: [] }, name: string): boolean {
  return names[firstAfter(names, name) - 1] === name;
}

/** Turns failures of the file into those of a list. */
async function reached<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw unavailable(error);
  }
}

/** What a lock says knows the file, but not how that came to be it. */
function adviceOn(cause: LockError): Error {
  return new Error(`${setting}: ${cause.message}`, { cause: cause.cause });
}

function readOnlyBecause(path: string, cause: unknown): string {
  return `${setting}: ${path} can only be read (${String(cause)}): the list stays as it is, whatever is pushed`;
}

function unavailable(cause: unknown): RegistryError {
  return new RegistryError('SEARCH_UNAVAILABLE', undefined, [], { cause });
}
