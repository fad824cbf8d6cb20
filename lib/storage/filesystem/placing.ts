import { lstatSync } from 'node:fs';
import fs from 'node:fs/promises';
import { dirname } from 'node:path';

import { assertNotExpired } from '../deadline.ts';
import { hasCode, ignoring, noHardLinkCodes, notFoundCodes } from '../file-errors.ts';
import { InvalidKey, PreconditionFailed, StoreUnavailable } from '../store.ts';
import { mkdir, rename, unlink } from './calls.ts';
import { changedFolders, syncFolder } from './durable-folders.ts';
import type { Files } from './files.ts';
import type { Mount } from './mounts.ts';

/** How often a write creates its folders, since concurrent deletes remove empty ones. */
const maxAttempts = 100;

/** Most parents that are created one by one: those of the history of a tag are five. */
const maxExpected = 6;

/** A place for a file. */
interface Target {
  readonly key: string;
  readonly path: string;
  readonly files: Files;
  /** Whether the file is on a file system that is known to be local. */
  readonly isLocal: boolean;
}

/** @returns false if the parent was missing, or an empty folder was at the path */
type Attempt = (file: string, target: Target) => Promise<boolean>;

/**
 * Renames a file to its key, replacing any there, and creates the parents. Fails with EXDEV on another mount.
 * @returns the folders that must be synced
 */
export async function placeFile(file: string, target: Target): Promise<string[]> {
  return await place(file, target, tryRename);
}

/**
 * Gives a file to a key that has none: of several processes one succeeds. Otherwise like {@link placeFile}.
 * @throws PreconditionFailed if there is a file, which then is durable
 */
export async function placeNewFile(file: string, target: Target, mount: Mount): Promise<string[]> {
  const changed = await place(file, target, async () => await tryLink(file, target, mount));
  // If this fails, it is removed with the files of killed writers.
  await unlink(file).catch(() => undefined);
  return changed;
}

async function place(file: string, target: Target, attempt: Attempt): Promise<string[]> {
  const { key, path, files } = target;
  let made = await makeExpectedParent(target);
  for (let attempts = 1; !(await attempt(file, target)); attempts++) {
    if (attempts === maxAttempts)
      throw new StoreUnavailable(key, `the folder of ${path} is removed again and again`);
    // Fails if the file itself is missing.
    if (target.isLocal) lstatSync(file);
    else await fs.lstat(file);
    const parent = await makeParent(target);
    if (made === undefined || (parent !== undefined && parent.length < made.length)) made = parent;
  }
  const changed = changedFolders(path, made);
  if (target.isLocal) for (const folder of changed) files.usedFolder(folder);
  return changed;
}

async function tryRename(file: string, target: Target): Promise<boolean> {
  assertNotExpired();
  try {
    await rename(file, target.path);
    return true;
  } catch (error) {
    if (hasCode(error, ['ENOENT'])) return false;
    if (hasCode(error, ['ENOTDIR'])) throw belowObject(target.key, error);
    if (!hasCode(error, ['EISDIR', 'EEXIST', 'ENOTEMPTY'])) throw error;
  }
  await removeEmptyFolder(target);
  return false;
}

/** Links a file, which unlike a rename fails if there is one (link(2)). */
async function tryLink(file: string, target: Target, mount: Mount): Promise<boolean> {
  assertNotExpired();
  try {
    if (mount.hardLinks) {
      await fs.link(file, target.path);
      return true;
    }
  } catch (error) {
    if (hasCode(error, ['ENOENT'])) return false;
    if (hasCode(error, ['ENOTDIR'])) throw belowObject(target.key, error);
    if (hasCode(error, noHardLinkCodes)) mount.hardLinks = false;
    else if (!hasCode(error, ['EEXIST'])) throw error;
  }
  const there = await ignoring(notFoundCodes, fs.lstat(target.path));
  // Without hard links, the best there is: two writers at the same instant may both succeed.
  if (there === undefined) return mount.hardLinks ? false : await tryRename(file, target);
  if (there.isDirectory()) {
    await removeEmptyFolder(target);
    return false;
  }
  // On NFS, a link whose answer was lost is sent again, and then finds itself.
  const own = await fs.lstat(file);
  if (there.ino === own.ino && there.dev === own.dev) return true;
  // The caller will rely on what is there, which its writer may not have synced yet.
  await syncFolder(dirname(target.path), target.files);
  throw new PreconditionFailed(target.key);
}

async function removeEmptyFolder({ key, path }: Target): Promise<void> {
  try {
    await ignoring(['ENOENT', 'ENOTDIR'], fs.rmdir(path));
  } catch (error) {
    throw new InvalidKey(key, `object key ${JSON.stringify(key)} is the folder of others`, { cause: error });
  }
}

/**
 * Creates the missing parents of a path in a folder that was there a moment ago: nearly all objects are new and alone in their
 * folder, so an attempt without it would be for nothing. Whatever fails is left to that attempt.
 * @returns the topmost that was missing
 */
async function makeExpectedParent({ path, files }: Target): Promise<string | undefined> {
  assertNotExpired();
  const missing: string[] = [];
  for (let folder = dirname(path); !files.hadFolder(folder); folder = dirname(folder)) {
    if (dirname(folder) === folder) return undefined;
    missing.push(folder);
  }
  const [parent] = missing;
  if (parent === undefined || missing.length > maxExpected) return undefined;
  const result = await tryMkdir(parent);
  if (result !== 'ENOENT') return result === 'made' ? parent : undefined;
  let made: string | undefined;
  for (const folder of missing.reverse()) if ((await tryMkdir(folder)) === 'made') made ??= folder;
  return made;
}

async function tryMkdir(path: string): Promise<string> {
  try {
    await mkdir(path);
    return 'made';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

/** Creates the parents of a path. @returns the topmost that was missing */
async function makeParent({ key, path }: Target): Promise<string | undefined> {
  try {
    return await ignoring(['ENOENT'], fs.mkdir(dirname(path), { recursive: true }));
  } catch (error) {
    if (!hasCode(error, ['EEXIST', 'ENOTDIR'])) throw error;
    // Node also reports ENOTDIR for a folder that is pruned while it checks its type.
    if (await isBelowFile(path)) throw belowObject(key, error);
    return undefined;
  }
}

/** Whether the nearest existing parent of a path is not a folder. */
async function isBelowFile(path: string): Promise<boolean> {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    const stats = await ignoring(['ENOENT', 'ENOTDIR'], fs.stat(folder));
    if (stats !== undefined) return !stats.isDirectory();
  }
  return false;
}

function belowObject(key: string, cause: unknown): InvalidKey {
  return new InvalidKey(key, `object key ${JSON.stringify(key)} is below another object`, { cause });
}
