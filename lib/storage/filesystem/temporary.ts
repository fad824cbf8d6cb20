import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';

import { notFoundCodes, hasCode, ignoring, unwritableCodes } from '../file-errors.ts';
import { makeFolders, syncParents } from './durable-folders.ts';
import type { Mount } from './mounts.ts';
import { readUpload, uploadIdPattern } from './uploads.ts';
import type { OnDamaged } from '../store.ts';

const day = 24 * 60 * 60 * 1000;

/** Age in milliseconds at which a temporary file has lost its writer. */
const abandonedAfter = day;

/** The same of what lies among multipart uploads and can be none. */
const damagedAfter = 7 * day;

/** Where the multipart uploads of a mount are. */
export function multipartsOf({ temporary }: Pick<Mount, 'temporary'>): string {
  return join(temporary, 'multipart');
}

/** What is known of the whole store. */
interface Store {
  readonly root: string;
  readonly metadata: string;
  readonly onDamaged: OnDamaged;
}

/**
 * Gets a mount ready at the start: makes the root's folders, and clears away what killed writers left in a mount's a day
 * ago. Elsewhere than at the root folders are made when they are needed, as other things than images may be mounted there.
 * @returns why nothing can be written there, in a sentence
 */
export async function openMount(store: Store, mount: Mount): Promise<string | undefined> {
  try {
    if (mount.top === store.root) await makeTemporary(store, mount);
    else if ((await ignoring(notFoundCodes, fs.lstat(mount.temporary))) !== undefined) mount.made = true;
    await fs.access(mount.made ? mount.temporary : mount.top, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (!hasCode(error, unwritableCodes)) throw error;
    // Nothing to serve, and nothing can come.
    if (mount.top === store.root && (await firstIn(store.root)) === undefined) throw error;
    return `${mount.top} cannot be written to (${String(error)}): what is there is served, but pushes and deletes fail`;
  } finally {
    if (!mount.made) mount.marker = join(mount.top, (await firstIn(mount.top)) ?? '');
  }
  if (mount.made) await clear(store, mount);
  return undefined;
}

/** Makes a mount's folder for temporary files. */
export async function makeTemporary(store: Store, mount: Mount): Promise<void> {
  await make(multipartsOf(mount));
  // Only hints will be missing without it.
  if (mount.top === store.root) await make(store.metadata).catch(() => undefined);
  mount.made = true;
  mount.marker = mount.temporary;
}

async function firstIn(path: string): Promise<string | undefined> {
  return (await fs.readdir(path).catch(() => []))[0];
}

async function make(path: string): Promise<void> {
  const made = await makeFolders(path);
  if (made !== undefined) await syncParents(path, made);
}

async function clear(store: Store, mount: Mount): Promise<void> {
  const multiparts = multipartsOf(mount);
  await clearOld(store, mount.temporary, abandonedAfter, (name) => name !== 'multipart');
  await clearOld(store, multiparts, abandonedAfter, (name) => !uploadIdPattern.test(name));
  await clearOld(
    store,
    multiparts,
    damagedAfter,
    async (name) => (await readUpload(join(multiparts, name))) === undefined,
  );
  if (mount.top === store.root)
    await clearOld(store, store.metadata, abandonedAfter, (name) => name.endsWith('.tmp'));
}

/** Removes what nothing was done to for long. What cannot be removed is passed over. */
async function clearOld(
  store: Store,
  parent: string,
  age: number,
  isLeft: (name: string) => boolean | Promise<boolean>,
): Promise<void> {
  for (const name of (await ignoring(notFoundCodes, fs.readdir(parent))) ?? []) {
    const path = join(parent, name);
    try {
      // Not the mtime: a file on its way from one key to another is as old as its content.
      const stats = await ignoring(notFoundCodes, fs.lstat(path));
      if (stats === undefined || stats.ctimeMs >= Date.now() - age || !(await isLeft(name))) continue;
      await fs.rm(path, { recursive: true, force: true });
    } catch (error) {
      store.onDamaged(path.slice(store.root.length + 1), error);
    }
  }
}
