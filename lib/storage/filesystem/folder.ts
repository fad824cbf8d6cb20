import { randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { notFoundCodes, hasCode, ignoring, unreadableCodes } from '../file-errors.ts';
import { assertNotExpired } from '../deadline.ts';
import { syncParents } from './durable-folders.ts';
import { type Mount, Mounts, privateNames, temporaryName } from './mounts.ts';
import { makeTemporary, openMount } from './temporary.ts';
import {
  assertKey,
  InvalidKey,
  type MultipartNotFound,
  type ObjectInfo,
  ObjectNotFound,
  ObjectUnreadable,
  type OnDamaged,
  StoreError,
  StoreUnavailable,
} from '../store.ts';

/** Longest name in a folder, in bytes, on every file system in use. */
const longestName = 255;

/** How often a write makes its folders anew because others remove them as empty at that moment. */
const maxAttempts = 100;

/** Mounts in which a write is begun: where it is thought to belong, and where it does. */
const maxMounts = 3;

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
 * <mount>/_stowage~tmp/…        the same as `.tmp`, for what is mounted or linked below the root: see {@link Mounts}
 * ```
 *
 * A key never leads out of the root, as it has no `..` segment. A linked folder in its path is followed, and by listings
 * too, as distribution does: who can make one in the root could as well write the objects themselves. A link to a file is
 * no object.
 */
export class Folder {
  readonly root: string;
  readonly metadata: string;
  readonly mounts: Mounts;
  readonly onDamaged: OnDamaged;

  constructor(root: string, onDamaged: OnDamaged) {
    this.root = resolve(root);
    this.metadata = join(this.root, '.metadata');
    this.mounts = new Mounts(this.root);
    this.onDamaged = onDamaged;
  }

  /**
   * Makes the root and the store's own folders where they are missing, and clears away what killed writers left. A root
   * that is there, with something in it, need not be writable.
   * @returns for each mount that cannot be written to a sentence that says why
   */
  async open(): Promise<string[]> {
    return await this.guard('', async () => {
      await this.mounts.findUpper();
      const refusals: string[] = [];
      for (const mount of this.mounts.all) {
        const refusal = await openMount(this, mount);
        if (refusal !== undefined) refusals.push(refusal);
      }
      return refusals;
    });
  }

  /** @throws InvalidKey */
  path(key: string): string {
    assertKey(key);
    const segments = key.split('/');
    if (!areValidSegments(segments)) {
      throw new InvalidKey(key, `object key ${JSON.stringify(key)} is one the filesystem store cannot have`);
    }
    return join(this.root, ...segments);
  }

  /** Makes a mount's temporary folder where it could not be made at the start, or is needed for the first time. */
  async ensureTemporary(mount: Mount): Promise<void> {
    if (!mount.made) await makeTemporary(this, mount);
  }

  /** A new path for a temporary file. */
  async temporaryPath(mount: Mount): Promise<string> {
    await this.ensureTemporary(mount);
    return join(mount.temporary, randomUUID());
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
    const absent = Absent !== undefined && hasCode(error, notFoundCodes);
    if (absent && (await this.isAvailable(dirname(join(this.root, key)))))
      return new Absent(key, { cause: error });
    const isOfObject = Absent === ObjectNotFound && hasCode(error, unreadableCodes);
    const Fault = isOfObject ? ObjectUnreadable : StoreUnavailable;
    return new Fault(key, `${this.root}: ${String(error)}; ${adviceOn(error)}`, { cause: error });
  }

  /**
   * Whether the store is there at all, as far as what lies in a folder is concerned. An empty mount point of a disk that
   * went away is not taken for an empty store, nor is a link that leads to one.
   */
  async isAvailable(folder: string): Promise<boolean> {
    for (const { marker } of this.mounts.overlapping(folder))
      if ((await ignoring(notFoundCodes, fs.lstat(marker))) === undefined) return false;
    for (let path = folder; path.length > this.root.length; path = dirname(path)) {
      const stats = await ignoring(notFoundCodes, fs.lstat(path));
      if (stats?.isSymbolicLink() === true) return !(await isBroken(path));
      if (stats !== undefined) return true;
    }
    return true;
  }

  async stat(key: string): Promise<BigIntStats> {
    return assertRegular(key, await fs.lstat(this.path(key), { bigint: true }));
  }

  /**
   * Makes an object: whole and durable when this resolves, nothing of it when it rejects.
   * @param fill writes the content; perhaps twice, where the first file was on another mount than the key
   * @param prepare is given the object before it appears
   */
  async create(
    key: string,
    fill: (handle: FileHandle) => Promise<unknown>,
    prepare: (info: ObjectInfo) => Promise<void>,
  ): Promise<ObjectInfo> {
    const path = this.path(key);
    let mount = this.mounts.of(path);
    for (let attempt = 1; ; attempt++) {
      const file = await write(await this.temporaryPath(mount), fill);
      try {
        const info = objectInfo(key, file.stats);
        await prepare(info);
        await this.place(file.path, key);
        return info;
      } catch (error) {
        await fs.rm(file.path, { force: true });
        if (!hasCode(error, ['EXDEV']) || attempt === maxMounts) throw error;
        mount = await this.mounts.find(path);
      }
    }
  }

  /** Renames a file to its key, making the folders above it; durable when it resolves. Fails with EXDEV on another mount. */
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

  /**
   * Removes the folders above a path as far as they are empty: distribution takes a folder for a tag or a repository.
   * @returns the folder that stays, from which the removal has to be synced
   */
  async prune(path: string): Promise<string> {
    let folder = dirname(path);
    for (; folder !== this.root; folder = dirname(folder)) {
      try {
        await fs.rmdir(folder);
      } catch (error) {
        if (hasCode(error, ['ENOTEMPTY', 'EEXIST', 'EBUSY'])) return folder;
        if (!hasCode(error, notFoundCodes)) throw error;
        // What it leads to has become empty, and stays.
        if ((await ignoring(notFoundCodes, fs.lstat(folder)))?.isSymbolicLink() === true) return folder;
      }
    }
    return folder;
  }
}

/** Whether the segments of a key, or of the start of one, are names an object's path can be made of. */
export function areValidSegments(segments: readonly string[]): boolean {
  return (
    !privateNames.has(segments[0] ?? '') &&
    segments.every(
      (name) =>
        name !== '' &&
        name !== '.' &&
        name !== '..' &&
        name !== temporaryName &&
        !name.includes('\0') &&
        Buffer.byteLength(name) <= longestName,
    )
  );
}

export function assertRegular(key: string, stats: BigIntStats): BigIntStats {
  if (!stats.isFile()) throw new ObjectNotFound(key);
  return stats;
}

export function objectInfo(key: string, stats: BigIntStats): ObjectInfo {
  const etag = [stats.ino, stats.mtimeNs, stats.size].map((part) => part.toString(36)).join('-');
  return { key, size: Number(stats.size), lastModified: new Date(Number(stats.mtimeNs / 1_000_000n)), etag };
}

/**
 * Gives a file an mtime no other content of its inode has. The kernel's own clock for it ticks every few milliseconds,
 * in which an inode can be freed and come back with other content of the same size. Two files of one millisecond differ
 * by the monotonic clock within it.
 */
export async function stampMtime(handle: FileHandle): Promise<void> {
  const seconds = (Date.now() + Number(process.hrtime.bigint() % 1_000_000n) / 1e6) / 1000;
  await handle.utimes(seconds, seconds);
}

/** Writes a temporary file: whole and durable when this resolves, gone when it rejects. */
async function write(path: string, fill: (handle: FileHandle) => Promise<unknown>): Promise<PendingFile> {
  const handle = await fs.open(path, 'wx');
  try {
    await fill(handle);
    await stampMtime(handle);
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

/** False when the folder above the path was missing or an empty one was in its place. */
async function renamed(file: string, path: string, key: string): Promise<boolean> {
  assertNotExpired();
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

/** Whether a link leads to nothing; one that leads to itself is only wrong. */
async function isBroken(link: string): Promise<boolean> {
  try {
    await fs.stat(link);
    return false;
  } catch (error) {
    return hasCode(error, ['ENOENT']);
  }
}

/** What to do about a failure. */
function adviceOn(error: unknown): string {
  if (hasCode(error, ['EROFS'])) return 'it is read-only: mount it to be written to, or push elsewhere';
  if (hasCode(error, ['ENOSPC', 'EDQUOT'])) return 'make room there';
  if (hasCode(error, ['EACCES', 'EPERM'])) return "give the registry's user the right to it";
  return 'check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';
}
