import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

import { inParallel } from '../../concurrency/in-parallel.ts';
import { assertNotExpired } from '../deadline.ts';
import { createObjects } from './create-objects.ts';
import { syncFolder } from './durable-folders.ts';
import { rmdir, unlink } from './calls.ts';
import { copyFile } from './file-bytes.ts';
import { notFoundCodes, hasCode, ignoring, noHardLinkCodes, occupiedCodes } from '../file-errors.ts';
import { boundsOf, FileBody, SmallObject } from './body.ts';
import type { SmallFile } from './files.ts';
import { deleteFenced, ownFence, stagingOf } from './fence.ts';
import { FolderFencing } from './fencing.ts';
import { Folder, objectInfo } from './folder.ts';
import { removeEmptyFolders } from './empty-folders.ts';
import { listFolder } from './listing.ts';
import type { Mount } from './mounts.ts';
import { FilesystemMultiparts } from './multipart.ts';
import { listNames } from './names.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import { minReadSize, readAheadBudget } from '../read-ahead.ts';
import { readFlags } from './small-files.ts';
import {
  type ByteRange,
  type Fence,
  type Fencing,
  type HeadOptions,
  type Listing,
  type ListOptions,
  type MoveSource,
  type NameOptions,
  type NewObject,
  type ObjectHead,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  type OnDamaged,
  type OpenedObject,
  PreconditionFailed,
  type DeleteOptions,
  type PutOptions,
} from '../store.ts';

/** Objects of up to this size are opened in one piece, if they were read a moment ago. */
const maxSmallBytes = 2 * minReadSize;

/** Objects deleted in parallel. */
const parallelDeletes = 16;

interface OpenOptions {
  readonly onDamaged?: OnDamaged | undefined;
  /** Opens an existing folder without changes to it. */
  readonly readOnly?: boolean;
  /** Called if nothing can be written. */
  readonly warn?: ((message: string) => void) | undefined;
  /** Processes that share the memory for reads. */
  readonly workers?: number | undefined;
}

type Opened = ObjectInfo & { readonly stats: BigIntStats; readonly handle: FileHandle };

/**
 * Objects as plain files in a folder, as distribution's filesystem driver stores them, so both can serve the same folder. Any
 * number of processes and worker threads may do so concurrently. See {@link Folder} for the layout.
 */
export class FilesystemStore extends FilesystemMultiparts implements ObjectStore {
  readonly onDamaged: OnDamaged;
  readonly #readAhead: MemoryBudget;
  readonly fencing: Fencing;

  private constructor(folder: Folder, workers: number) {
    super(folder);
    this.#readAhead = readAheadBudget(workers);
    this.onDamaged = folder.onDamaged;
    this.fencing = new FolderFencing(folder, this);
  }

  /**
   * Opens the store in a folder, which is created if missing, except in read-only mode. One with images need not be writable.
   * @throws StoreUnavailable
   */
  static async open(
    root: string,
    { onDamaged, readOnly = false, warn, workers = 1 }: OpenOptions = {},
  ): Promise<FilesystemStore> {
    const folder = new Folder(root, onDamaged ?? (() => undefined), workers);
    for (const refusal of await folder.open(readOnly)) warn?.(refusal);
    return new FilesystemStore(folder, workers);
  }

  async head(key: string, { metadata = false }: HeadOptions = {}): Promise<ObjectHead> {
    // At once if it need not wait: the layers below cost as much as the call.
    const stats = this.folder.files.lstatNow(this.folder.path(key));
    const find = async () => await this.folder.info(key);
    const info = stats === undefined ? await this.#reading(key, find) : objectInfo(key, stats);
    return { ...info, metadata: metadata ? await this.sidecars.read(info) : {} };
  }

  async open(key: string, range?: ByteRange, size?: number): Promise<OpenedObject> {
    const path = this.folder.path(key);
    // Mostly a config: it takes no more memory than two reads of a large file.
    const small =
      (size ?? Infinity) <= maxSmallBytes
        ? await this.#readFile(key, path, maxSmallBytes)
        : this.folder.files.readNow(path, maxSmallBytes);
    if (small?.bytes !== undefined) {
      const head = objectInfo(key, small.stats);
      const [start, end] = boundsOf(head, range);
      return new SmallObject(head, small.bytes.subarray(start, end));
    }
    const { handle, stats, ...head } = await this.#open(key, path);
    try {
      const [start, end] = boundsOf(head, range);
      if (head.size <= maxSmallBytes) this.folder.files.used(path, stats);
      return { ...head, body: new FileBody(key, handle, start, end, this.#readAhead) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async read(key: string, limit: number): Promise<ObjectInfo & { readonly bytes: Buffer }> {
    const { stats, bytes } = await this.#readFile(key, this.folder.path(key), limit);
    const info = objectInfo(key, stats);
    if (bytes === undefined) throw new ObjectTooLarge(key, info.size, limit);
    return { ...info, bytes };
  }

  async #readFile(key: string, path: string, limit: number): Promise<SmallFile> {
    const { files } = this.folder;
    const read = async () => await files.read(path, limit);
    return files.readNow(path, limit) ?? (await this.#reading(key, read));
  }

  /** Unsupported: the data plane serves files. */
  signedUrl(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    return await this.writeObject(key, bytes, options);
  }

  async putInOrder(objects: readonly NewObject[]): Promise<ObjectInfo[]> {
    const files = objects.map(({ key, bytes, metadata, fence }) => {
      this.folder.path(key);
      return { key, content: bytes, describe: this.describing(metadata), fence };
    });
    const create = async () => await createObjects(this.folder, files);
    return await this.folder.guard(objects[0]?.key ?? '', create);
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    this.folder.path(to);
    await this.#reading(from, async () => {
      if (from === to) assertUnchanged(await this.folder.info(from), source?.etag);
      else await this.#move(from, to, source?.etag);
    });
  }

  /** Unsupported, and not needed: consecutive parts share a file. */
  concatenate(): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** Durable when it resolves, so that deleted objects do not reappear, unless they are transient. */
  async delete(
    keys: readonly string[],
    { transient = false, isCommit = false, ...options }: DeleteOptions = {},
  ): Promise<void> {
    for (const key of keys) this.folder.path(key);
    const fence = isCommit ? await this.#limiting(options.fence, keys) : options.fence;
    if (transient && fence === undefined) {
      await inParallel(keys, parallelDeletes, async (key) => {
        await this.#removeTransient(key);
      });
      return;
    }
    const folders = new Set(
      await inParallel(keys, parallelDeletes, async (key) => await this.#remove(key, fence)),
    );
    // A rename changes two folders, and not every file system keeps both or none.
    const staging = fence === undefined ? undefined : ownFence(fence).staging;
    if (staging !== undefined) folders.add(staging);
    await this.folder.guard(keys[0] ?? '', async () => {
      await inParallel([...folders], parallelDeletes, async (one) => {
        await syncFolder(one, this.folder.files);
      });
    });
  }

  /** The fence of a commit, unless it cannot limit the delete of all of some objects. */
  async #limiting(fence: Fence | undefined, keys: readonly string[]): Promise<Fence | undefined> {
    if (fence === undefined) return undefined;
    for (const key of keys) {
      const mount = this.folder.mounts.of(this.folder.path(key));
      if ((await stagingOf(this.folder, key, fence, mount)) === undefined) return undefined;
    }
    return fence;
  }

  /** Without a sync, and of the empty folders removes only the object's own: the one above has another soon. */
  async #removeTransient(key: string): Promise<void> {
    const path = this.folder.path(key);
    await this.folder.guard(key, async () => {
      await this.#unlink(path);
      await ignoring([...notFoundCodes, ...occupiedCodes], rmdir(dirname(path)));
    });
  }

  async list(options: ListOptions): Promise<Listing> {
    return await this.folder.guard(options.prefix ?? '', async () => await listFolder(this.folder, options));
  }

  async listNames(prefix: string, options: NameOptions): Promise<string[]> {
    return await this.folder.guard(prefix, async () => await listNames(this.folder, prefix, options));
  }

  async removeEmptyFolders(prefix: string): Promise<boolean> {
    return await this.folder.guard(prefix, async () => await removeEmptyFolders(this.folder, prefix));
  }

  async #reading<T>(key: string, work: () => Promise<T>): Promise<T> {
    return await this.folder.guard(key, work, ObjectNotFound);
  }

  async #open(key: string, path: string): Promise<Opened> {
    return await this.#reading(key, async () => {
      const handle = await fs.open(path, readFlags);
      try {
        const stats = await handle.stat({ bigint: true });
        return { ...objectInfo(key, stats), stats, handle };
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  /**
   * Renames a second link to the file, so that exactly the checked file is moved, and an object that another writer puts at
   * `from` meanwhile stays there.
   */
  async #move(from: string, to: string, etag: string | undefined): Promise<void> {
    const file = await this.#link(this.folder.path(from));
    try {
      const info = objectInfo(from, await fs.lstat(file, { bigint: true }));
      assertUnchanged(info, etag);
      await this.#place(file, info, to);
      await this.#removeMoved(info);
    } finally {
      // Also after success: a rename between two links to one file does nothing, as when a killed move is retried.
      if (file !== this.folder.path(from)) await fs.rm(file, { force: true });
    }
  }

  /** Renames a file to another key, or copies it if that is on another mount. */
  async #place(file: string, info: ObjectInfo, to: string): Promise<void> {
    const metadata = await this.sidecars.read(info);
    await this.sidecars.write({ ...info, key: to }, metadata);
    try {
      await this.folder.guard(to, async () => {
        await this.folder.place(file, to);
      });
    } catch (error) {
      if (!(error instanceof Error && hasCode(error.cause, ['EXDEV']))) throw error;
      const fill = async (target: FileHandle) => {
        await copyFile(file, target);
      };
      await this.writeObject(to, fill, { metadata });
    }
  }

  async #link(path: string, mount: Mount = this.folder.mounts.of(path)): Promise<string> {
    const name = await this.folder.temporaryPath(mount);
    try {
      await fs.link(path, name);
      return name;
    } catch (error) {
      const found = hasCode(error, ['EXDEV']) ? await this.folder.mounts.find(path) : mount;
      if (found !== mount) return await this.#link(path, found);
      // Then the file itself, which may be a mount, is renamed; that cannot rule out a concurrent replacement.
      if (hasCode(error, ['EXDEV', ...noHardLinkCodes])) return path;
      throw error;
    }
  }

  /** Not synced: if a power cut brings the object back, the moved one still exists. */
  async #removeMoved({ key, etag }: ObjectInfo): Promise<void> {
    const info = await ignoring(notFoundCodes, this.folder.info(key));
    if (info === undefined || info.etag === etag) await this.#remove(key);
  }

  /** @returns the folder that must be synced */
  async #remove(key: string, fence?: Fence): Promise<string> {
    const path = this.folder.path(key);
    return await this.folder.guard(key, async () => {
      if (fence === undefined) {
        await this.sidecars.remove(key);
        await this.#unlink(path);
      } else if (await deleteFenced(this.folder, key, fence)) await this.sidecars.remove(key);
      else await this.#assertAvailable(path);
      // Also if nothing was deleted: an earlier delete may have been killed before this step.
      return await this.folder.prune(path);
    });
  }

  async #unlink(path: string): Promise<void> {
    assertNotExpired();
    const gone = await ignoring(
      notFoundCodes,
      unlink(path).then(() => true),
    );
    if (gone === undefined) await this.#assertAvailable(path);
  }

  /** Nothing was found there. */
  async #assertAvailable(path: string): Promise<void> {
    if (!(await this.folder.isAvailable(dirname(path)))) throw new Error('the folder is missing');
  }
}

function assertUnchanged(info: ObjectInfo, etag: string | undefined): void {
  if (etag !== undefined && etag !== info.etag) throw new PreconditionFailed(info.key);
}
