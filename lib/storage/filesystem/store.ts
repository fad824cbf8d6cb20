import fs, { type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

import { assertNotExpired } from '../deadline.ts';
import { syncFolder } from './durable-folders.ts';
import { copyBytes, readBytes } from './file-bytes.ts';
import { notFoundCodes, hasCode, ignoring } from '../file-errors.ts';
import { FileBody } from './body.ts';
import { objectInfo, Folder, assertRegular } from './folder.ts';
import { listFolder } from './listing.ts';
import { Sidecars } from './metadata.ts';
import type { Mount } from './mounts.ts';
import { limits, Multiparts } from './multipart.ts';
import { readAheadBudget } from '../read-ahead.ts';
import { readFlags } from './small-files.ts';
import {
  type ByteRange,
  type Listing,
  type ListOptions,
  type MultipartUpload,
  type MoveSource,
  type ObjectHead,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  type OnDamaged,
  PreconditionFailed,
  type PutOptions,
  RangeNotSatisfiable,
  type UploadedPart,
} from '../store.ts';

/** What a file system without hard links says; of a folder, any does. `EXDEV`: of a file that is a mount itself. */
const noLinks = ['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** Objects deleted at once. */
const parallelDeletes = 16;

interface OpenOptions {
  readonly onDamaged?: OnDamaged | undefined;
  /** Is told that nothing can be written. */
  readonly warn?: ((message: string) => void) | undefined;
}

type Opened = ObjectHead & { readonly handle: FileHandle };

/**
 * Objects as plain files in a folder, the way distribution's filesystem driver has them, so that both can serve one
 * folder. Any number of processes and worker threads may do so at once. See {@link Folder} for what lies where.
 */
export class FilesystemStore implements ObjectStore {
  readonly limits = limits;
  readonly onDamaged: OnDamaged;
  readonly #folder: Folder;
  readonly #sidecars: Sidecars;
  readonly #multiparts: Multiparts;
  readonly #readAhead = readAheadBudget();

  private constructor(folder: Folder) {
    this.onDamaged = folder.onDamaged;
    this.#folder = folder;
    this.#sidecars = new Sidecars(folder);
    this.#multiparts = new Multiparts(folder, this.#sidecars);
  }

  /**
   * Opens the store in a folder, which is made if it is missing. One with images need not be writable.
   * @throws StoreUnavailable
   */
  static async open(root: string, { onDamaged, warn }: OpenOptions = {}): Promise<FilesystemStore> {
    const folder = new Folder(root, onDamaged ?? (() => undefined));
    for (const refusal of await folder.open()) warn?.(refusal);
    return new FilesystemStore(folder);
  }

  async head(key: string): Promise<ObjectHead> {
    return await this.#reading(key, async () => await this.#described(await this.#info(key)));
  }

  async open(key: string, range?: ByteRange): Promise<ObjectHead & { readonly body: FileBody }> {
    const { handle, ...head } = await this.#open(key);
    const start = range?.start ?? 0;
    if (range !== undefined && start >= head.size) {
      await handle.close();
      throw new RangeNotSatisfiable(key, head.size);
    }
    const end = Math.min(range?.end ?? Infinity, head.size - 1) + 1;
    return { ...head, body: new FileBody(key, handle, start, end, this.#readAhead) };
  }

  async read(key: string, limit: number): Promise<ObjectHead & { readonly bytes: Buffer }> {
    const { handle, ...head } = await this.#open(key);
    try {
      if (head.size > limit) throw new ObjectTooLarge(key, head.size, limit);
      return { ...head, bytes: await this.#reading(key, async () => await readBytes(handle, head.size)) };
    } finally {
      await handle.close();
    }
  }

  /** None: it is the data plane that serves files. */
  signedUrl(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<ObjectInfo> {
    const fill = async (handle: FileHandle) => {
      await handle.writeFile(bytes);
    };
    return await this.#create(key, fill, options.metadata);
  }

  async move(from: string, to: string, source?: MoveSource): Promise<void> {
    this.#folder.path(to);
    await this.#reading(from, async () => {
      if (from === to) assertUnchanged(await this.#info(from), source?.etag);
      else await this.#move(from, to, source?.etag);
    });
  }

  /** Durable when it resolves, as what was deleted must not come back. */
  /** Parts that follow one another lie in one file as they are. */
  concatenate(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#folder.path(key);
    for (let at = 0; at < keys.length; at += parallelDeletes) {
      const some = keys.slice(at, at + parallelDeletes);
      const folders = new Set(await Promise.all(some.map((key) => this.#remove(key))));
      await this.#folder.guard(some[0] ?? '', async () => {
        await Promise.all([...folders].map((folder) => syncFolder(folder)));
      });
    }
  }

  async list(options: ListOptions): Promise<Listing> {
    return await this.#folder.guard(
      options.prefix ?? '',
      async () => await listFolder(this.#folder, options),
    );
  }

  async createMultipart(key: string, options?: Pick<PutOptions, 'metadata'>): Promise<string> {
    return await this.#multiparts.createMultipart(key, options);
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    return await this.#multiparts.uploadPart(key, uploadId, number, bytes);
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    return await this.#multiparts.completeMultipart(key, uploadId, parts);
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    await this.#multiparts.abortMultipart(key, uploadId);
  }

  listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    return this.#multiparts.listMultiparts(prefix);
  }

  async #reading<T>(key: string, work: () => Promise<T>): Promise<T> {
    return await this.#folder.guard(key, work, ObjectNotFound);
  }

  async #info(key: string): Promise<ObjectInfo> {
    return objectInfo(key, await this.#folder.stat(key));
  }

  async #described(info: ObjectInfo): Promise<ObjectHead> {
    return { ...info, metadata: await this.#sidecars.read(info) };
  }

  async #open(key: string): Promise<Opened> {
    const path = this.#folder.path(key);
    return await this.#reading(key, async () => {
      const handle = await fs.open(path, readFlags);
      try {
        const stats = assertRegular(key, await handle.stat({ bigint: true }));
        return { ...(await this.#described(objectInfo(key, stats))), handle };
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  async #create(
    key: string,
    fill: (handle: FileHandle) => Promise<void>,
    metadata: PutOptions['metadata'],
  ): Promise<ObjectInfo> {
    this.#folder.path(key);
    const prepare = async (info: ObjectInfo) => {
      await this.#sidecars.write(info, metadata);
    };
    return await this.#folder.guard(key, async () => await this.#folder.create(key, fill, prepare));
  }

  /**
   * Takes a second name for the file and renames that, so that what gets the new key is what was checked, and an
   * object another writer puts at `from` meanwhile stays where it is.
   */
  async #move(from: string, to: string, etag: string | undefined): Promise<void> {
    const file = await this.#secondName(this.#folder.path(from));
    try {
      const info = objectInfo(from, assertRegular(from, await fs.lstat(file, { bigint: true })));
      assertUnchanged(info, etag);
      await this.#place(file, info, to);
      await this.#removeMoved(info);
    } finally {
      // Also after success: a rename between two names of one file does nothing, as when a killed move is repeated.
      if (file !== this.#folder.path(from)) await fs.rm(file, { force: true });
    }
  }

  /** Renames a file to another key, or copies it there, where that lies on another mount. */
  async #place(file: string, info: ObjectInfo, to: string): Promise<void> {
    const { metadata } = await this.#described(info);
    await this.#sidecars.write({ ...info, key: to }, metadata);
    try {
      await this.#folder.guard(to, async () => {
        await this.#folder.place(file, to);
      });
    } catch (error) {
      if (!(error instanceof Error && hasCode(error.cause, ['EXDEV']))) throw error;
      const fill = async (target: FileHandle) => {
        await copyFile(file, target);
      };
      await this.#create(to, fill, metadata);
    }
  }

  async #secondName(path: string, mount: Mount = this.#folder.mounts.of(path)): Promise<string> {
    const name = await this.#folder.temporaryPath(mount);
    try {
      await fs.link(path, name);
      return name;
    } catch (error) {
      const found = hasCode(error, ['EXDEV']) ? await this.#folder.mounts.find(path) : mount;
      if (found !== mount) return await this.#secondName(path, found);
      // Renamed as it is then, unless something is put in its place just now.
      if (hasCode(error, noLinks)) return path;
      throw error;
    }
  }

  /** Not synced: an object that a power cut brings back is one that was moved to its place all the same. */
  async #removeMoved({ key, etag }: ObjectInfo): Promise<void> {
    const stats = await ignoring(notFoundCodes, this.#folder.stat(key));
    if (stats === undefined || objectInfo(key, stats).etag === etag) await this.#remove(key);
  }

  /** @returns the folder that has to be synced */
  async #remove(key: string): Promise<string> {
    const path = this.#folder.path(key);
    return await this.#folder.guard(key, async () => {
      await this.#sidecars.remove(key);
      assertNotExpired();
      const gone = await ignoring(
        notFoundCodes,
        fs.unlink(path).then(() => true),
      );
      if (gone === undefined && !(await this.#folder.isAvailable(dirname(path))))
        throw new Error('the folder is not there');
      // Also when there was nothing: a delete may have been killed before it came to this.
      return await this.#folder.prune(path);
    });
  }
}

async function copyFile(file: string, target: FileHandle): Promise<void> {
  const source = await fs.open(file, readFlags);
  try {
    await copyBytes(source, { offset: 0, size: (await source.stat()).size }, target);
  } finally {
    await source.close();
  }
}

function assertUnchanged(info: ObjectInfo, etag: string | undefined): void {
  if (etag !== undefined && etag !== info.etag) throw new PreconditionFailed(info.key);
}
