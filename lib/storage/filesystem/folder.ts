import { randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';

import { notFoundCodes, hasCode, ignoring, occupiedCodes, unreadableCodes } from '../file-errors.ts';
import { Files } from './files.ts';
import { FolderEntries } from './folder-entries.ts';
import { hintFor } from './hints.ts';
import { type Mount, Mounts, privateNames, temporaryName } from './mounts.ts';
import { uniqueMtime } from './pending-file.ts';
import { rmdir } from './calls.ts';
import { syncFolders } from './durable-folders.ts';
import { placeFile } from './placing.ts';
import { SampleObjects } from './sample-objects.ts';
import { forgetName, SeenFolders } from './seen-names.ts';
import { makeTemporary, openMount } from './temporary.ts';
import {
  assertKey,
  InvalidKey,
  isInvalidSegment,
  type MultipartNotFound,
  type ObjectInfo,
  ObjectNotFound,
  ObjectUnreadable,
  type OnDamaged,
  StoreError,
  StoreUnavailable,
} from '../store.ts';

/** The longest file name on all common file systems. */
const maxNameBytes = 255;

/** Nearly all keys of a registry. They are valid as they are, which one pass tells. */
const usualKey = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,254}\/)*[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/;

/** The longest that one may be. */
const maxUsualKey = 1024;

export type { PendingFile } from './pending-file.ts';

/**
 * The folder of a filesystem store: maps keys to paths and system errors to a store's errors, and creates files atomically.
 *
 * ```
 * <root>/<key>                  an object
 * <root>/.tmp/<uuid>            a file being written or removed
 * <root>/.tmp/multipart/<id>/   a multipart upload, see multipart.ts
 * <root>/.tmp/fence-…/          files being written or removed that have a fence, see fencing.ts
 * <root>/.metadata/…            see metadata.ts
 * <mount>/_stowage~tmp/…        like `.tmp`, for mounts and links below the root: see {@link Mounts}
 * ```
 *
 * A key never leads out of the root, as it has no `..` segment. Linked folders are followed, as in distribution: whoever can
 * create a link in the root could as well write the objects. A link to a file is not an object.
 */
export class Folder {
  readonly root: string;
  readonly metadata: string;
  readonly mounts: Mounts;
  readonly onDamaged: OnDamaged;
  readonly files = new Files();
  readonly entries: FolderEntries;
  readonly samples = new SampleObjects();
  readonly seen = new SeenFolders();
  /** Whether it was written down that a change was not limited; see fence.ts. */
  hasUnlimitedMark = false;
  /** Of the paths of keys. */
  readonly #prefix: string;

  /** @param workers processes that share the memory */
  constructor(root: string, onDamaged: OnDamaged, workers = 1) {
    this.root = resolve(root);
    this.entries = new FolderEntries(this.files, workers);
    this.#prefix = join(this.root, '/');
    this.metadata = join(this.root, '.metadata');
    this.mounts = new Mounts(this.root);
    this.onDamaged = onDamaged;
  }

  /**
   * Creates the missing folders of the store and removes the files of killed writers. A root with content need not be
   * writable.
   * @param readOnly creates and removes nothing; the root must exist
   * @returns a sentence for each mount that is not writable but should be
   */
  async open(readOnly: boolean): Promise<string[]> {
    return await this.guard('', async () => {
      if (readOnly) await fs.readdir(this.root);
      await this.mounts.findUpper();
      const refusals: string[] = [];
      for (const mount of this.mounts.all) {
        const refusal = await openMount(this, mount, readOnly);
        if (refusal !== undefined) refusals.push(refusal);
      }
      return refusals;
    });
  }

  /** @throws InvalidKey */
  path(key: string): string {
    if (sep === '/' && key.length <= maxUsualKey && usualKey.test(key)) return this.#prefix + key;
    assertKey(key);
    const segments = key.split('/');
    if (!areValidSegments(segments)) {
      throw new InvalidKey(
        key,
        `object key ${JSON.stringify(key)} is reserved or too long in the filesystem store`,
      );
    }
    return join(this.root, ...segments);
  }

  /** The path of an entry that was found in the folder, or of a folder with its slash. It is not checked. */
  at(key: string): string {
    return sep === '/' ? this.#prefix + key : join(this.root, key);
  }

  /** Creates a mount's temporary folder if it does not exist yet. */
  async ensureTemporary(mount: Mount): Promise<void> {
    if (!mount.made) await makeTemporary(this, mount);
  }

  /** A new, unused path for a temporary file. */
  async temporaryPath(mount: Mount): Promise<string> {
    await this.ensureTemporary(mount);
    return join(mount.temporary, randomUUID());
  }

  /**
   * Runs an operation and converts its errors to a store's errors.
   * @param NotFound the error for a missing path; by default a missing path is a fault like any other
   */
  async guard<T>(
    key: string,
    work: () => Promise<T>,
    NotFound?: typeof ObjectNotFound | typeof MultipartNotFound,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (hasCode(error, ['ENAMETOOLONG']))
        throw new InvalidKey(key, `object key ${JSON.stringify(key)} is too long here`, { cause: error });
      const isMissing = NotFound !== undefined && hasCode(error, notFoundCodes);
      if (isMissing && (await this.isAvailable(dirname(join(this.root, key)))))
        throw new NotFound(key, { cause: error });
      const isOfObject = NotFound === ObjectNotFound && hasCode(error, unreadableCodes);
      const Fault = isOfObject ? ObjectUnreadable : StoreUnavailable;
      throw new Fault(key, `${this.#reasonOf(error)}; ${hintFor(error, this.root)}`, { cause: error });
    }
  }

  /** Such as "/srv/images: no such file or directory (ENOENT)". */
  #reasonOf(error: unknown): string {
    const { path = this.root, code = '', message } = error as NodeJS.ErrnoException;
    const [, reason] = /^E[A-Z]+: (.+?), \w+/.exec(message) ?? [];
    return reason === undefined ? `${this.root}: ${String(error)}` : `${path}: ${reason} (${code})`;
  }

  /**
   * Whether the mounts with a folder's content are present. An empty mount point of a missing disk, or a broken link to one,
   * does not count as an empty store.
   */
  async isAvailable(folder: string): Promise<boolean> {
    for (const { marker } of this.mounts.overlapping(folder))
      if ((await ignoring(notFoundCodes, this.files.lstat(marker))) === undefined) return false;
    for (let path = folder; path.length > this.root.length; path = dirname(path)) {
      const stats = await ignoring(notFoundCodes, this.files.lstat(path));
      // A link to itself is damaged but does not hide a mount.
      if (stats?.isSymbolicLink() === true)
        return !hasCode(await fs.stat(path).catch((error: unknown) => error), ['ENOENT']);
      if (stats !== undefined) return true;
    }
    return true;
  }

  async info(key: string): Promise<ObjectInfo> {
    return objectInfo(key, await this.files.lstat(this.path(key)));
  }

  /** As {@link placeFile}; durable when it resolves. */
  async place(file: string, key: string): Promise<void> {
    const target = { key, path: this.path(key), files: this.files, isLocal: false };
    await syncFolders(await placeFile(file, target), this.files);
  }

  /** Whether a mount is known to be a local file system, from the last file written there. */
  isLocal({ device, temporary }: Mount): boolean {
    return device !== undefined && this.files.isLocal(device, temporary);
  }

  /**
   * Removes the empty parents of an object that was deleted, since distribution takes any folder for a tag or repository.
   * @returns the nearest remaining parent, which must be synced
   */
  async prune(path: string): Promise<string> {
    const remaining = await this.#removeEmptyParents(path);
    await forgetName(path, remaining);
    return remaining;
  }

  async #removeEmptyParents(path: string): Promise<string> {
    let folder = dirname(path);
    for (; folder !== this.root; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch (error) {
        if (hasCode(error, occupiedCodes)) return folder;
        if (!hasCode(error, notFoundCodes)) throw error;
        // The target of a link stays although it is empty.
        if ((await ignoring(notFoundCodes, fs.lstat(folder)))?.isSymbolicLink() === true) return folder;
      }
    }
    return folder;
  }
}

/** Whether an object's path may consist of these segments of a key or prefix. */
export function areValidSegments(segments: readonly string[]): boolean {
  return (
    !privateNames.has(segments[0] ?? '') &&
    segments.every(
      (name) =>
        !isInvalidSegment(name) &&
        name !== temporaryName &&
        !name.includes('\0') &&
        Buffer.byteLength(name) <= maxNameBytes,
    )
  );
}

/** @throws ObjectNotFound if it is not a regular file */
export function objectInfo(key: string, stats: BigIntStats): ObjectInfo {
  if (!stats.isFile()) throw new ObjectNotFound(key);
  const etag = [stats.ino, stats.mtimeNs, stats.size].map((part) => part.toString(36)).join('-');
  return { key, size: Number(stats.size), lastModified: new Date(Number(stats.mtimeNs / 1_000_000n)), etag };
}

/** Sets a file's {@link uniqueMtime}. */
export async function stampMtime(handle: FileHandle): Promise<void> {
  const seconds = uniqueMtime();
  await handle.utimes(seconds, seconds);
}
