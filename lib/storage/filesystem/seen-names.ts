import fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { hasCode } from '../file-errors.ts';
import { namedSuffix } from '../store.ts';
import { type Entries, sortKeys } from './folder-entries.ts';

/** How long a name is listed without another look at its object. */
const seenMs = 1000;

/** When no process lists it any more, whatever the resolution of their timers. */
const forgottenMs = 1.1 * seenMs;

/** The names of the folders in a folder. */
export interface SeenNames {
  readonly entries: Entries;
  /** In byte order, without slashes. */
  readonly names: readonly string[];
  /** By index: 1 if the object of a name was there when it was looked up. */
  readonly seen: Uint8Array;
}

interface Remembered extends SeenNames {
  /** When nothing was seen yet. */
  readonly since: number;
}

/**
 * Remembers which names have their object, so that a list need not look at each of them again. A name without its object, as
 * one that is being pushed or deleted, is looked up by each list.
 *
 * This relies on an order of steps. What was seen is kept with the {@link Entries} of the folder above the names, which are others
 * as soon as that folder's time of change differs. It differs before a delete is answered:
 *
 * - The folder of the name is removed after the object, by distribution as by us.
 * - If it stays here, as something else is in it, `forgetName` changes the time of the folder above.
 *
 * Entries are remembered only of a folder on a local file system that has not changed lately, so each of these steps gives
 * it another time, which all processes see. A look-up that is older than such a step belongs to earlier entries.
 *
 * A process that is killed between the two steps leaves the folder as it was. Its delete was not answered; the name is listed
 * for {@link seenMs} at most. So it is when distribution fails to remove the folder of a tag, and answers with an error.
 */
export class SeenFolders {
  /** Bounded, as {@link FolderEntries} are. */
  readonly #folders = new WeakMap<Entries, Remembered>();

  /** What was seen of the entries of a folder in the last second, to which may be added what the caller sees. */
  of(entries: Entries): SeenNames {
    const now = performance.now();
    const known = this.#folders.get(entries);
    if (known !== undefined && now - known.since < seenMs) return known;
    const names = known?.names ?? namesOf(entries);
    const folder = { entries, names, since: now, seen: new Uint8Array(names.length) };
    this.#folders.set(entries, folder);
    return folder;
  }
}

function namesOf({ names }: Entries): string[] {
  return sortKeys(names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1)));
}

/**
 * Makes all processes look up a name again whose object was deleted while its folder stays, as it has other files: see
 * {@link SeenFolders}. Where the folder above cannot be changed for that, it waits until they look anyway.
 * @param path of the deleted object
 * @param remaining the nearest of its parents that is left
 */
export async function forgetName(path: string, remaining: string): Promise<void> {
  if (!path.endsWith(namedSuffix)) return;
  const listed = dirname(path.slice(0, -namedSuffix.length));
  if (remaining.length <= listed.length) return;
  const now = new Date();
  try {
    await fs.utimes(listed, now, now);
  } catch (error) {
    // Only the owner of a folder may set its times.
    if (!hasCode(error, ['ENOENT', 'ENOTDIR'])) await setTimeout(forgottenMs);
  }
}
