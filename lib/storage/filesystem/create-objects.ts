import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';

import { hasCode } from '../file-errors.ts';
import { FenceEnded, type Fence, type ObjectInfo } from '../store.ts';
import { syncFolders } from './durable-folders.ts';
import { orFenceEnded, stagingOf } from './fence.ts';
import { objectInfo, type Folder } from './folder.ts';
import type { Mount } from './mounts.ts';
import { type Content, type PendingFile, writePending } from './pending-file.ts';
import { placeFile, placeNewFile } from './placing.ts';

/** The folder of an object, and the one that has it: these change when an object is created alone in its folder. */
const maxOwnFolders = 2;

/** How many mounts a write tries: the expected one first. */
const maxMounts = 3;

/** An object to create. */
export interface NewFile {
  readonly key: string;
  /** If a function, called again if the key turns out to be on another mount. */
  readonly content: Content;
  /**
   * Writes what is kept beside the object: before it appears, but after that if it must be new, since whoever loses must not
   * touch what the winner has written.
   */
  readonly describe?: ((info: ObjectInfo) => Promise<void>) | undefined;
  readonly onlyIfAbsent?: boolean | undefined;
  /** See {@link PutOptions.transient}. */
  readonly transient?: boolean | undefined;
  readonly fence?: Fence | undefined;
}

/** An object that was created. */
interface Placed {
  readonly info: ObjectInfo;
  /** The folders that must be synced. */
  readonly changed: readonly string[];
  readonly isLocal: boolean;
}

/** A file that was written for an object, and its mount. */
interface Written {
  readonly object: NewFile;
  readonly file: PendingFile;
  readonly mount: Mount;
}

/**
 * Creates objects, each of them atomically and after those before it. All are durable when this resolves, unless they are
 * transient: first all bytes are synced at once, then all folders, so that a journal commits each lot together.
 * @throws PreconditionFailed if one must be new and is not
 * @throws FenceEnded with those created that come before the one that is too late
 */
export async function createObjects(folder: Folder, objects: readonly NewFile[]): Promise<ObjectInfo[]> {
  const { written, ...failed } = await writeAll(folder, objects);
  let { late } = failed;
  const infos: ObjectInfo[] = [];
  const [local, other] = [new Set<string>(), new Set<string>()];
  try {
    for (const one of written) {
      const { info, changed, isLocal } = await place(folder, one);
      infos.push(info);
      // Folders that a transient object is not alone in are also those of others.
      const isSynced = one.object.transient !== true || changed.length > maxOwnFolders;
      if (isSynced) for (const path of changed) (isLocal ? local : other).add(path);
    }
  } catch (error) {
    await removeAll(written.slice(infos.length));
    if (!(error instanceof FenceEnded) || infos.length === 0) throw error;
    late = error;
  }
  await Promise.all([syncFolders(local, folder.files, true), syncFolders(other, folder.files)]);
  if (late !== undefined) throw late;
  return infos;
}

/**
 * Writes the files of objects. If one fails, none remain, but for those before one whose fence has ended.
 * @returns also that error
 */
async function writeAll(
  folder: Folder,
  objects: readonly NewFile[],
): Promise<{ readonly written: readonly Written[]; readonly late?: FenceEnded }> {
  const results = await Promise.allSettled(
    objects.map(async (object) => await write(folder, object, folder.mounts.of(folder.path(object.key)))),
  );
  const failed = results.find((result) => result.status === 'rejected');
  const written = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  if (failed === undefined) return { written };
  const reason: unknown = failed.reason;
  const before = reason instanceof FenceEnded ? written.slice(0, results.indexOf(failed)) : [];
  await removeAll(written.slice(before.length));
  if (reason instanceof FenceEnded && before.length > 0) return { written: before, late: reason };
  throw reason;
}

async function removeAll(written: readonly Written[]): Promise<void> {
  for (const { file } of written) await fs.rm(file.path, { force: true });
}

async function write(folder: Folder, object: NewFile, mount: Mount): Promise<Written> {
  const { key, content, transient = false, fence } = object;
  const staging = fence === undefined ? undefined : await stagingOf(folder, key, fence, mount);
  const temporary = staging === undefined ? await folder.temporaryPath(mount) : join(staging, randomUUID());
  let file;
  try {
    file = await writePending(temporary, content, { isLocal: folder.isLocal(mount), transient });
  } catch (error) {
    throw await orFenceEnded(folder, key, fence, error);
  }
  mount.device = file.stats.dev;
  return { object, file, mount };
}

async function place(folder: Folder, { object, file, mount }: Written, attempt = 1): Promise<Placed> {
  const { key, describe, onlyIfAbsent = false } = object;
  const path = folder.path(key);
  const info = objectInfo(key, file.stats);
  const isLocal = folder.isLocal(mount);
  const target = { key, path, files: folder.files, isLocal };
  try {
    if (!onlyIfAbsent) await describe?.(info);
    const changed = onlyIfAbsent
      ? await placeNewFile(file.path, target, mount)
      : await placeFile(file.path, target);
    if (onlyIfAbsent) await describe?.(info);
    folder.files.used(path, file.stats);
    return { info, changed, isLocal };
  } catch (error) {
    await fs.rm(file.path, { force: true });
    if (!hasCode(error, ['EXDEV']) || attempt === maxMounts) {
      const reason = await orFenceEnded(folder, key, object.fence, error);
      // Its folders were made before.
      if (reason instanceof FenceEnded) await folder.prune(path);
      throw reason;
    }
    return await place(folder, await write(folder, object, await folder.mounts.find(path)), attempt + 1);
  }
}
