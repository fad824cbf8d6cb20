import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { hasCode, ignoring, notFoundCodes, unreadableCodes } from '../file-errors.ts';
import { ObjectUnreadable } from '../store.ts';
import type { Entries } from './folder-entries.ts';
import { areValidSegments, type Folder } from './folder.ts';
import { temporaryName } from './mounts.ts';

/*
 * What every walk over folders shows: which entries are objects or have some, which links it follows, and what it skips.
 */

const maxKeyBytes = 1024;

/** A walk over the folders of a prefix. */
interface Walk {
  readonly prefix: string;
  /** Whether unreadable folders below the prefix's own are skipped, and reported. */
  readonly skipUnreadable: boolean;
}

export async function entriesOf(folder: Folder, top: string, walk: Walk): Promise<Entries> {
  const path = folder.at(top);
  const known = folder.entries.now(path);
  if (known !== undefined) return known;
  return (await readOrSkip(folder, top, walk, async () => await folder.entries.of(path))) ?? none;
}

const none: Entries = { names: [], links: new Set(), device: undefined };

/** Whether an entry of a folder is an object or has some, by its name. */
export function isVisible(top: string, name: string): boolean {
  if (top !== '' && !name.startsWith(temporaryName)) return true;
  const segment = name.endsWith('/') ? name.slice(0, -1) : name;
  return segment !== temporaryName && (top !== '' || areValidSegments([segment]));
}

export function isKey(path: string): boolean {
  // A character has at most three bytes for each of its units.
  return path.length <= maxKeyBytes / 3 || Buffer.byteLength(path) <= maxKeyBytes;
}

/** Reads a file or folder; skips it if it is gone, or unreadable where the walk allows that. */
export async function readOrSkip<T>(
  folder: Folder,
  path: string,
  walk: Walk,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ignoring(notFoundCodes, read());
  } catch (error) {
    if (!hasCode(error, unreadableCodes)) throw error;
    skip(folder, path, walk, error);
    return undefined;
  }
}

function skip(folder: Folder, path: string, walk: Walk, cause: unknown): void {
  // For the listed folder itself it is an outage.
  if (!walk.skipUnreadable || walk.prefix.startsWith(path))
    throw new ObjectUnreadable(path, `${join(folder.root, path)}: ${String(cause)}`, { cause });
  folder.onDamaged(path, cause);
}

/** Whether a link is followed: if it leads to a folder that does not contain the link, which would loop forever. */
export async function leadsToFolder(folder: Folder, path: string, walk: Walk): Promise<boolean> {
  const link = join(folder.root, path.slice(0, -1));
  try {
    const stats = await fs.stat(link);
    if (!stats.isDirectory()) return false;
    for (let above = dirname(link); ; above = dirname(above)) {
      const { dev, ino } = await fs.stat(above);
      if (dev === stats.dev && ino === stats.ino) return false;
      if (above === dirname(above)) return true;
    }
  } catch (error) {
    // The target is missing or inaccessible, unless the link itself is gone.
    const isThere = (await ignoring(notFoundCodes, fs.lstat(link))) !== undefined;
    if (isThere && hasCode(error, ['ENOENT', ...unreadableCodes])) skip(folder, path, walk, error);
    else if (!hasCode(error, notFoundCodes)) throw error;
    return false;
  }
}
