import fs from 'node:fs/promises';
import { dirname } from 'node:path';

import { ignoring } from '../file-errors.ts';

/**
 * Makes a folder and those above it; returns the first one that was missing. Not by mkdir's `recursive`, which never
 * ends where a parent is there and still nothing can be made in it, as in /proc.
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  const missing = (await ignoring(['ENOENT'], fs.stat(path))) === undefined;
  const above = missing && dirname(path) !== path ? await makeFolders(dirname(path)) : undefined;
  if (!missing) return undefined;
  // EEXIST: another process has just made it.
  await ignoring(['EEXIST'], fs.mkdir(path));
  return above ?? path;
}

/**
 * Makes a path's entry durable, and those of the folders from `made` on that were made for it. A folder that another
 * writer has just made is in the journal before our entry in it, so it is not synced again.
 */
export async function syncParents(path: string, made: string | undefined): Promise<void> {
  let folder = dirname(path);
  await syncFolder(folder);
  while (made !== undefined && folder.length >= made.length) {
    folder = dirname(folder);
    await syncFolder(folder);
  }
}

/** Makes the entries of a folder durable; where it is gone, that of the lowest one above it that is not. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await ignoring(['ENOENT', 'ENOTDIR'], fs.open(path, 'r'));
  if (handle === undefined) {
    if (dirname(path) !== path) await syncFolder(dirname(path));
    return;
  }
  try {
    // EINVAL: a file system that knows no sync of folders.
    await ignoring(['EINVAL'], handle.sync());
  } finally {
    await handle.close();
  }
}
