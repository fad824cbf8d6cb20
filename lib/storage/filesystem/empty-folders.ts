import fs from 'node:fs/promises';
import { join } from 'node:path';
import { ignoring, notFoundCodes, occupiedCodes } from '../file-errors.ts';
import { rmdir } from './calls.ts';
import { syncFolder } from './durable-folders.ts';
import type { Folder } from './folder.ts';

/**
 * Removes the empty folders whose paths begin with a prefix, which distribution leaves and takes for repositories and tags. Links are
 * not followed.
 * @returns whether there were any
 */
export async function removeEmptyFolders(folder: Folder, prefix: string): Promise<boolean> {
  const end = prefix.lastIndexOf('/') + 1;
  const parent = folder.at(prefix.slice(0, end));
  const removed = await removeBelow(parent, prefix.slice(end));
  if (removed) await syncFolder(await folder.prune(join(parent, 'any')), folder.files);
  return removed;
}

/** @param start of the names of the folders */
async function removeBelow(parent: string, start: string): Promise<boolean> {
  let removed = false;
  const entries = (await ignoring(notFoundCodes, fs.readdir(parent, { withFileTypes: true }))) ?? [];
  for (const entry of entries) {
    if (!entry.isDirectory() || !entry.name.startsWith(start)) continue;
    const path = join(parent, entry.name);
    const wasInside = await removeBelow(path, '');
    const isGone = await ignoring(
      [...notFoundCodes, ...occupiedCodes],
      rmdir(path).then(() => true),
    );
    removed = removed || wasInside || isGone === true;
  }
  return removed;
}
