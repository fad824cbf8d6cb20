import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';

import { notFoundCodes, hasCode, ignoring, noHardLinkCodes, unwritableCodes } from '../file-errors.ts';
import { changedFolders, makeFolders, syncFolders } from './durable-folders.ts';
import { hintFor } from './hints.ts';
import type { Mount } from './mounts.ts';
import { fenceNumber, unlimitedName } from './staging-names.ts';
import { readUpload, uploadIdPattern } from './uploads.ts';
import type { OnDamaged } from '../store.ts';

const dayMs = 24 * 60 * 60 * 1000;

/** Age at which a temporary file is abandoned. */
const abandonedAfterMs = dayMs;

/** Age at which a damaged multipart upload is removed. */
const damagedAfterMs = 7 * dayMs;

/** The folder of a mount's multipart uploads. */
export function multipartsOf({ temporary }: Pick<Mount, 'temporary'>): string {
  return join(temporary, 'multipart');
}

interface Store {
  readonly root: string;
  readonly metadata: string;
  readonly onDamaged: OnDamaged;
}

/**
 * Prepares a mount at start: creates the root's own folders and removes abandoned files. Other mounts get folders only when
 * needed, as they may contain other data than images.
 * @param readOnly creates and removes nothing
 * @returns a sentence that says why nothing can be written there, if so
 */
export async function openMount(store: Store, mount: Mount, readOnly: boolean): Promise<string | undefined> {
  try {
    if (mount.top === store.root && !readOnly) await makeTemporary(store, mount);
    else if ((await ignoring(notFoundCodes, fs.lstat(mount.temporary))) !== undefined) mount.made = true;
    if (readOnly) return undefined;
    await fs.access(mount.made ? mount.temporary : mount.top, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (!hasCode(error, unwritableCodes)) throw error;
    // Nothing to serve, and nothing can be added.
    if (mount.top === store.root && (await firstIn(store.root)) === undefined) throw error;
    return `${mount.top} cannot be written to (${String(error)}): what is there is served, but pushes and deletes fail; ${hintFor(error, mount.top)}`;
  } finally {
    mount.marker = mount.made ? mount.temporary : join(mount.top, (await firstIn(mount.top)) ?? '');
  }
  if (mount.made) {
    mount.hardLinks = await hasHardLinks(mount);
    await clear(store, mount);
  }
  return undefined;
}

/** Probes for hard links. If that fails for another reason, the first write shows. */
async function hasHardLinks({ temporary }: Mount): Promise<boolean> {
  const [file, link] = [join(temporary, randomUUID()), join(temporary, randomUUID())];
  try {
    await fs.writeFile(file, '', { flag: 'wx' });
    await fs.link(file, link);
    return true;
  } catch (error) {
    return !hasCode(error, noHardLinkCodes);
  } finally {
    for (const path of [file, link]) await fs.rm(path, { force: true }).catch(() => undefined);
  }
}

/** Creates a mount's folder for temporary files. */
export async function makeTemporary(store: Store, mount: Mount): Promise<void> {
  await make(multipartsOf(mount));
  // Optional: without it, only metadata is lost, which is a hint.
  if (mount.top === store.root) await make(store.metadata).catch(() => undefined);
  mount.made = true;
  mount.marker = mount.temporary;
}

async function firstIn(path: string): Promise<string | undefined> {
  return (await fs.readdir(path).catch(() => []))[0];
}

async function make(path: string): Promise<void> {
  const made = await makeFolders(path);
  if (made !== undefined) await syncFolders(changedFolders(path, made));
}

async function clear(store: Store, mount: Mount): Promise<void> {
  const multiparts = multipartsOf(mount);
  const isFence = (name: string) => fenceNumber(name) !== undefined;
  const isKept = (name: string) => name === 'multipart' || name === unlimitedName || isFence(name);
  await clearOld(store, mount.temporary, abandonedAfterMs, (name) => !isKept(name));
  // One is in use until it is ended, however old it is.
  for (const name of (await ignoring(notFoundCodes, fs.readdir(mount.temporary))) ?? [])
    if (isFence(name)) await clearOld(store, join(mount.temporary, name), abandonedAfterMs, () => true);
  await clearOld(store, multiparts, abandonedAfterMs, (name) => !uploadIdPattern.test(name));
  await clearOld(
    store,
    multiparts,
    damagedAfterMs,
    async (name) => (await readUpload(join(multiparts, name))) === undefined,
  );
  if (mount.top === store.root)
    await clearOld(store, store.metadata, abandonedAfterMs, (name) => name.endsWith('.tmp'));
}

/** Removes files older than `ageMs`. Skips and reports those that cannot be removed. */
async function clearOld(
  store: Store,
  parent: string,
  ageMs: number,
  isRemovable: (name: string) => boolean | Promise<boolean>,
): Promise<void> {
  for (const name of (await ignoring(notFoundCodes, fs.readdir(parent))) ?? []) {
    const path = join(parent, name);
    try {
      // Not the mtime, which a file keeps while it is moved.
      const stats = await ignoring(notFoundCodes, fs.lstat(path));
      if (stats === undefined || stats.ctimeMs >= Date.now() - ageMs || !(await isRemovable(name))) continue;
      await fs.rm(path, { recursive: true, force: true });
    } catch (error) {
      store.onDamaged(path.slice(store.root.length + 1), error);
    }
  }
}
