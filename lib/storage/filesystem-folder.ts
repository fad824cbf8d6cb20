import { randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { hasCode, ignoring } from './file-errors.ts';
import {
  assertKey,
  InvalidKey,
  type MultipartNotFound,
  type ObjectInfo,
  ObjectNotFound,
  StoreError,
  StoreUnavailable,
} from './store.ts';

/** Folders of the store's own at the top of its root; no key lies in them. */
const privateNames: ReadonlySet<string> = new Set(['.tmp', '.metadata']);

/** Longest name in a folder, in bytes, on every file system in use. */
const longestName = 255;

/** How often a write makes its folders anew because others remove them as empty at that moment. */
const maxAttempts = 100;

/** Age in milliseconds at which a temporary file has lost its writer. */
const abandonedAfter = 24 * 60 * 60 * 1000;

/** A file that is not under its key yet. */
export interface PendingFile {
  readonly path: string;
  readonly stats: BigIntStats;
}

/**
 * The folder of a filesystem store: where a key lies, what an errno says, and files that appear whole.
 *
 * ```
 * <root>/<key>                  an object
 * <root>/.tmp/<uuid>            a file being written, or what is being removed
 * <root>/.tmp/multipart/<id>/   a multipart upload, see filesystem-multipart.ts
 * <root>/.metadata/…            see filesystem-metadata.ts
 * ```
 *
 * A key never leads out of the root, as it has no `..` segment. Symbolic links are not objects and are not followed
 * by listings. A linked folder in the middle of a path is followed: who can make one in the root could as well write
 * the objects themselves.
 */
export class Folder {
  readonly root: string;
  readonly temporary: string;
  readonly metadata: string;
  readonly multipart: string;

  constructor(root: string) {
    this.root = resolve(root);
    this.temporary = join(this.root, '.tmp');
    this.metadata = join(this.root, '.metadata');
    this.multipart = join(this.temporary, 'multipart');
  }

  /** Makes the root and the store's own folders where they are missing, and clears away what killed writers left. */
  async make(): Promise<void> {
    await this.guard('', async () => {
      await syncParents(this.multipart, await makeFolders(this.multipart));
      await fs.mkdir(this.metadata, { recursive: true });
      for (const name of await fs.readdir(this.temporary)) await this.#clear(join(this.temporary, name));
    });
  }

  async #clear(path: string): Promise<void> {
    if (path === this.multipart) return;
    const stats = await ignoring(absence, fs.lstat(path));
    // Not the mtime: a file on its way from one key to another is as old as its content.
    if (stats !== undefined && stats.ctimeMs < Date.now() - abandonedAfter) {
      await fs.rm(path, { recursive: true, force: true });
    }
  }

  /** @throws InvalidKey */
  path(key: string): string {
    assertKey(key);
    const segments = key.split('/');
    if (!areOwnSegments(segments)) {
      throw new InvalidKey(key, `object key ${JSON.stringify(key)} is one the filesystem store cannot have`);
    }
    return join(this.root, ...segments);
  }

  /** A new path under the temporary folder. */
  unused(): string {
    return join(this.temporary, randomUUID());
  }

  /**
   * Runs one operation and turns its failures into a store's errors.
   * @param Absent what a path that is not there means; without it that is a fault as any other
   */
  async guard<T>(
    key: string,
    work: () => Promise<T>,
    Absent?: typeof ObjectNotFound | typeof MultipartNotFound,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw await this.#fault(key, error, Absent);
    }
  }

  async #fault(
    key: string,
    error: unknown,
    Absent: typeof ObjectNotFound | typeof MultipartNotFound | undefined,
  ): Promise<StoreError> {
    if (error instanceof StoreError) return error;
    if (hasCode(error, ['ENAMETOOLONG'])) {
      return new InvalidKey(key, `object key ${JSON.stringify(key)} is too long here`, { cause: error });
    }
    const absent = Absent !== undefined && hasCode(error, absence);
    if (absent && (await this.isThere())) return new Absent(key, { cause: error });
    return new StoreUnavailable(
      key,
      `${this.root}: ${String(error)}; check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY`,
      { cause: error },
    );
  }

  /**
   * Whether the store is there at all. `make` alone creates the temporary folder, so that the empty mount point of a
   * disk that went away is not taken for an empty store.
   */
  async isThere(): Promise<boolean> {
    return (await ignoring(absence, fs.lstat(this.temporary)))?.isDirectory() ?? false;
  }

  async stat(key: string): Promise<BigIntStats> {
    return regular(key, await fs.lstat(this.path(key), { bigint: true }));
  }

  /** Writes a temporary file: whole and durable when this resolves, gone when it rejects. */
  async write(fill: (handle: FileHandle) => Promise<unknown>): Promise<PendingFile> {
    const path = this.unused();
    const handle = await fs.open(path, 'wx');
    try {
      await fill(handle);
      await stamp(handle);
      // Not only datasync: the ETag is made of the mtime, and has to stay the same after a power cut.
      await handle.sync();
      return { path, stats: await handle.stat({ bigint: true }) };
    } catch (error) {
      await fs.rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** Renames a file to its key, making the folders above it; durable when it resolves. */
  async place(file: string, key: string): Promise<void> {
    const path = this.path(key);
    let made: string | undefined;
    for (let attempt = 1; !(await renamed(file, path, key)); attempt++) {
      if (attempt === maxAttempts) throw new StoreUnavailable(key, `the folder of ${path} does not stay`);
      // Fails when it is the file that is not there.
      await fs.lstat(file);
      made = shorter(made, await makeParent(path, key));
    }
    await syncParents(path, made);
  }

  /** Removes the folders above a path as far as they are empty: distribution takes a folder for a tag or a repository. */
  async prune(path: string): Promise<void> {
    for (let folder = dirname(path); folder !== this.root; folder = dirname(folder)) {
      try {
        await fs.rmdir(folder);
      } catch (error) {
        if (hasCode(error, ['ENOTEMPTY', 'EEXIST', 'EBUSY'])) return;
        if (!hasCode(error, absence)) throw error;
      }
    }
  }
}

/** What a call says when no regular file is at a path. `ELOOP` and `ENXIO` come of opening links and sockets. */
export const absence: readonly string[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO'];

/** Whether the segments of a key, or of the start of one, are names an object's path can be made of. */
export function areOwnSegments(segments: readonly string[]): boolean {
  return (
    !privateNames.has(segments[0] ?? '') &&
    segments.every(
      (name) =>
        name !== '' &&
        name !== '.' &&
        name !== '..' &&
        !name.includes('\0') &&
        Buffer.byteLength(name) <= longestName,
    )
  );
}

export function regular(key: string, stats: BigIntStats): BigIntStats {
  if (!stats.isFile()) throw new ObjectNotFound(key);
  return stats;
}

export function describe(key: string, stats: BigIntStats): ObjectInfo {
  const etag = [stats.ino, stats.mtimeNs, stats.size].map((part) => part.toString(36)).join('-');
  return { key, size: Number(stats.size), lastModified: new Date(Number(stats.mtimeNs / 1_000_000n)), etag };
}

/**
 * Gives a file an mtime no other content of its inode has. The kernel's own clock for it ticks every few milliseconds,
 * in which an inode can be freed and come back with other content of the same size. Two files of one millisecond differ
 * by the monotonic clock within it.
 */
export async function stamp(handle: FileHandle): Promise<void> {
  const seconds = (Date.now() + Number(process.hrtime.bigint() % 1_000_000n) / 1e6) / 1000;
  await handle.utimes(seconds, seconds);
}

/** False when the folder above the path was missing or an empty one was in its place. */
async function renamed(file: string, path: string, key: string): Promise<boolean> {
  try {
    await fs.rename(file, path);
    return true;
  } catch (error) {
    if (hasCode(error, ['ENOENT'])) return false;
    if (hasCode(error, ['ENOTDIR'])) throw below(key, error);
    if (!hasCode(error, ['EISDIR', 'EEXIST', 'ENOTEMPTY'])) throw error;
  }
  try {
    await ignoring(['ENOENT', 'ENOTDIR'], fs.rmdir(path));
    return false;
  } catch (error) {
    throw new InvalidKey(key, `object key ${JSON.stringify(key)} is the folder of others`, { cause: error });
  }
}

/**
 * Makes a folder and those above it; returns the first one that was missing. Not by mkdir's `recursive`, which never
 * ends where a parent is there and still nothing can be made in it, as in /proc.
 */
async function makeFolders(path: string): Promise<string | undefined> {
  const missing = (await ignoring(['ENOENT'], fs.stat(path))) === undefined;
  const above = missing && dirname(path) !== path ? await makeFolders(dirname(path)) : undefined;
  if (!missing) return undefined;
  // EEXIST: another process has just made it.
  await ignoring(['EEXIST'], fs.mkdir(path));
  return above ?? path;
}

/** Makes the folder above a path; returns the first one that was missing. */
async function makeParent(path: string, key: string): Promise<string | undefined> {
  try {
    return await ignoring(['ENOENT'], fs.mkdir(dirname(path), { recursive: true }));
  } catch (error) {
    if (!hasCode(error, ['EEXIST', 'ENOTDIR'])) throw error;
    // Node says ENOTDIR as well of a folder that it found there and that was pruned before it looked what it is.
    if (await isBelowFile(path)) throw below(key, error);
    return undefined;
  }
}

/** Whether the lowest thing above a path that is there is no folder. */
async function isBelowFile(path: string): Promise<boolean> {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    const stats = await ignoring(['ENOENT', 'ENOTDIR'], fs.stat(folder));
    if (stats !== undefined) return !stats.isDirectory();
  }
  return false;
}

function below(key: string, cause: unknown): InvalidKey {
  return new InvalidKey(key, `object key ${JSON.stringify(key)} lies below another object`, { cause });
}

function shorter(a: string | undefined, b: string | undefined): string | undefined {
  return a === undefined || (b !== undefined && b.length < a.length) ? b : a;
}

/**
 * Makes a path's entry durable, and those of the folders from `made` on that were made for it. A folder that another
 * writer has just made is in the journal before our entry in it, so it is not synced again.
 */
async function syncParents(path: string, made: string | undefined): Promise<void> {
  let folder = dirname(path);
  await syncFolder(folder);
  while (made !== undefined && folder.length >= made.length) {
    folder = dirname(folder);
    await syncFolder(folder);
  }
}

export async function syncFolder(path: string): Promise<void> {
  // Gone: what lay in it was deleted again meanwhile.
  const handle = await ignoring(['ENOENT'], fs.open(path, 'r'));
  try {
    // EINVAL: a file system that knows no sync of folders.
    await ignoring(['EINVAL'], handle?.sync() ?? Promise.resolve());
  } finally {
    await handle?.close();
  }
}
