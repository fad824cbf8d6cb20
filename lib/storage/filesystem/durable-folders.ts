import fs from 'node:fs/promises';
import { dirname } from 'node:path';

import { ignoring } from '../file-errors.ts';

/**
 * Creates a folder and its parents. mkdir's `recursive` would never end in a parent that cannot have folders, as in /proc.
 * @returns the topmost folder that was missing
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  const missing = (await ignoring(['ENOENT'], fs.stat(path))) === undefined;
  const above = missing && dirname(path) !== path ? await makeFolders(dirname(path)) : undefined;
  if (!missing) return undefined;
  // EEXIST: another process has just created it.
  await ignoring(['EEXIST'], fs.mkdir(path));
  return above ?? path;
}

/**
 * Makes the entry of a path durable, and those of the folders created for it, from `made` down. A folder that another writer
 * has just created needs no sync: the journal has it before our entry in it.
 */
export async function syncParents(path: string, made: string | undefined): Promise<void> {
  let folder = dirname(path);
  await syncFolder(folder);
  while (made !== undefined && folder.length >= made.length) {
    folder = dirname(folder);
    await syncFolder(folder);
  }
}

/** Makes the entries of a folder durable, or those of its nearest existing parent. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await ignoring(['ENOENT', 'ENOTDIR'], fs.open(path, 'r'));
  if (handle === undefined) {
    if (dirname(path) !== path) await syncFolder(dirname(path));
    return;
  }
  try {
    // EINVAL: the file system cannot sync folders.
    await ignoring(['EINVAL'], handle.sync());
  } finally {
    await handle.close();
  }
}
