import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';

import { assertNotExpired } from '../deadline.ts';
import { hasCode, ignoring, notFoundCodes, unwritableCodes } from '../file-errors.ts';
import { FenceEnded, StoreUnavailable, type Fence } from '../store.ts';
import { lstat, rename, unlink } from './calls.ts';
import type { Folder } from './folder.ts';
import type { Mount } from './mounts.ts';
import { stagingParent, unlimitedName } from './staging-names.ts';

/**
 * A fence of a folder: a staging folder through which all its changes pass by a rename, a new file out of it, a deleted one into it. Once it
 * is removed, they fail.
 */
export class FolderFence implements Fence {
  readonly opened: Date;
  /** Undefined if there can be none. Then nothing limits a change, and collections refuse to run. */
  readonly staging: string | undefined;

  constructor(opened: Date, staging: string | undefined) {
    this.opened = opened;
    this.staging = staging;
  }
}

export function unlimitedMark(folder: Pick<Folder, 'root'>): string {
  return join(stagingParent(folder), unlimitedName);
}

/**
 * The staging folder for a new file, or undefined if its key is on another mount than `.tmp`: nothing can be renamed to there, so the change
 * is not limited. Collections then refuse to run; since a collector may see other mounts than this process, it is told by a file.
 */
export async function stagingOf(
  folder: Folder,
  key: string,
  fence: Fence,
  mount: Mount,
): Promise<string | undefined> {
  const { staging } = ownFence(fence);
  if (staging !== undefined && mount.temporary === stagingParent(folder)) return staging;
  if (!folder.hasUnlimitedMark) {
    // Where it cannot be written, no collection can begin.
    const codes = [...unwritableCodes, 'ENOENT'];
    await ignoring(codes, fs.writeFile(unlimitedMark(folder), `${key}\n`, { flush: true }));
    folder.hasUnlimitedMark = true;
  }
  return undefined;
}

/**
 * Deletes a file under a fence, if there is one.
 * @returns whether there was
 * @throws FenceEnded
 */
export async function deleteFenced(folder: Folder, key: string, fence: Fence): Promise<boolean> {
  const { staging } = ownFence(fence);
  if (staging === undefined)
    throw new StoreUnavailable(key, 'nothing is deleted, since a late delete could not be refused');
  const path = folder.path(key);
  const stats = await ignoring(notFoundCodes, lstat(path));
  // A rename would take a folder with all that it has.
  if (stats === undefined || stats.isDirectory()) return false;
  assertNotExpired();
  const away = join(staging, randomUUID());
  try {
    await rename(path, away);
  } catch (error) {
    const reason = await orFenceEnded(folder, key, fence, error);
    // Otherwise another process has deleted it meanwhile.
    if (reason === error && hasCode(error, notFoundCodes)) return false;
    throw reason;
  }
  // Whoever ends the fence removes it too.
  await ignoring(['ENOENT'], unlink(away));
  return true;
}

/** {@link FenceEnded} in place of an error that a missing staging folder has caused; otherwise the error itself. */
export async function orFenceEnded(
  folder: Folder,
  key: string,
  fence: Fence | undefined,
  error: unknown,
): Promise<unknown> {
  if (fence === undefined || !hasCode(error, ['ENOENT'])) return error;
  const { staging } = ownFence(fence);
  if (staging === undefined || (await ignoring(notFoundCodes, lstat(staging))) !== undefined) return error;
  // The whole disk may be missing.
  return (await folder.isAvailable(folder.root)) ? new FenceEnded(key, { cause: error }) : error;
}

export function ownFence(fence: Fence): FolderFence {
  if (fence instanceof FolderFence) return fence;
  throw new TypeError('the fence belongs to another store');
}
