import { closeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { dirname } from 'node:path';

import { ignoring } from '../file-errors.ts';
import { close, fsync, open } from './calls.ts';
import { folderFlags, type Files } from './files.ts';

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
 * The folders to sync to make the entry of a path durable, and those of the folders created for it, from `made` down. A folder that
 * another writer has just created needs no sync: the journal has it before our entry in it.
 */
export function changedFolders(path: string, made: string | undefined): string[] {
  let folder = dirname(path);
  const folders = [folder];
  while (made !== undefined && folder.length >= made.length) {
    folder = dirname(folder);
    folders.push(folder);
  }
  return folders;
}

/**
 * Makes the entries of folders durable: of all at once, so that a journal commits them together.
 * @param isLocal whether they are known to be on a local file system
 */
export async function syncFolders(
  folders: Iterable<string>,
  files?: Pick<Files, 'openFolder'>,
  isLocal = false,
): Promise<void> {
  await Promise.all(
    Array.from(folders, async (one) => {
      await syncFolder(one, files, isLocal);
    }),
  );
}

/**
 * Makes the entries of a folder durable, or those of its nearest existing parent.
 * @param isLocal whether it is known to be on a local file system
 */
export async function syncFolder(path: string, files = asynchronous, isLocal = false): Promise<void> {
  const folder = await ignoring(['ENOENT', 'ENOTDIR'], files.openFolder(path, isLocal));
  if (folder === undefined) {
    if (dirname(path) !== path) await syncFolder(dirname(path), files);
    return;
  }
  try {
    // EINVAL: the file system cannot sync folders.
    await ignoring(['EINVAL'], fsync(folder.file));
  } finally {
    if (folder.isLocal) closeSync(folder.file);
    else await close(folder.file);
  }
}

const asynchronous: Pick<Files, 'openFolder'> = {
  openFolder: async (path) => ({ file: await open(path, folderFlags), isLocal: false }),
};
