import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';

import { hasCode, ignoring } from '../file-errors.ts';

/**
 * Folder for temporary files at the top of each mount or link below the root. The name is invalid for tags and for
 * components of repository names, and distribution does not search folders with a leading underscore for repositories.
 */
export const temporaryName = '_stowage~tmp';

/** The store's own folders at the top of its root; no key starts with them. */
export const privateNames: ReadonlySet<string> = new Set(['.tmp', '.metadata']);

/** Depth of the search for mounts at start: down to `docker/registry/v2/blobs/sha256`. */
const maxDepth = 5;

/** Larger folders are not searched; a mount in them is found when it is first written to. */
const maxFolders = 100;

/** Folders searched per level, whatever else the root contains. */
const maxFoldersPerLevel = 500;

/** The root, or a mount or link below it: files can be renamed within it. */
export interface Mount {
  readonly top: string;
  /** Its folder for files not yet renamed to their keys. */
  readonly temporary: string;
  /** Whether it was found at start, as in all other processes. */
  readonly isShared: boolean;
  /** A path that exists while the mount is present; distinguishes it from its mount point. */
  marker: string;
  /** Whether the temporary folder exists. */
  made: boolean;
  /** Whether its files can have a second link, as far as known. */
  hardLinks: boolean;
  /** The device of the file written last. */
  device?: bigint;
}

/**
 * The file systems of a folder: its own, and any that are mounted or linked below it. Files can be renamed only within one,
 * so each has its own folder for temporary files.
 */
export class Mounts {
  readonly #root: string;
  /** The root's is the first. */
  #mounts: readonly Mount[];

  constructor(root: string) {
    this.#root = root;
    this.#mounts = [mount(root, join(root, '.tmp'), true)];
  }

  get all(): readonly Mount[] {
    return this.#mounts;
  }

  /** The mount of a path, as far as known. */
  of(path: string, mounts = this.#mounts): Mount {
    const [first, ...rest] = mounts.filter(({ top }) => contains(top, path));
    if (first === undefined) throw new Error(`${path} is not below ${this.#root}`);
    return rest.reduce((best, next) => (next.top.length > best.top.length ? next : best), first);
  }

  /** The mounts that all processes know: first the one of the path, then all others. */
  shared(path: string): readonly [Mount, ...Mount[]] {
    const shared = this.#mounts.filter(({ isShared }) => isShared);
    const own = this.of(path, shared);
    return [own, ...shared.filter((other) => other !== own)];
  }

  /** The mounts that contain a folder or are below it. */
  overlapping(folder: string): readonly Mount[] {
    return this.#mounts.filter(({ top }) => contains(top, folder) || contains(folder, top));
  }

  /** Finds the mounts of the upper levels. Skips unreadable folders. */
  async findUpper(): Promise<void> {
    if (await this.#isTemporaryElsewhere()) this.#replaceRoot(true);
    let folders = (await foldersIn(this.#root)).filter((path) => !privateNames.has(basename(path)));
    for (let level = 1; level <= maxDepth; level++) {
      for (const folder of folders)
        if ((await canRenameBetween(dirname(folder), folder)) === false) this.#add(folder, true);
      const below = level === maxDepth ? [] : await Promise.all(folders.map(foldersIn));
      folders = below
        .filter((some) => some.length <= maxFolders)
        .flat()
        .slice(0, maxFoldersPerLevel);
    }
  }

  /** Finds the mount of a path, after a rename failed with EXDEV. */
  async find(path: string): Promise<Mount> {
    let top = dirname(path);
    while (top !== this.#root && (await ignoring(['ENOENT', 'ENOTDIR'], fs.stat(top))) === undefined)
      top = dirname(top);
    while (top !== this.#root && (await canRenameBetween(dirname(top), top)) !== false) top = dirname(top);
    const known = this.#mounts.find((one) => one.top === top);
    if (known === undefined) return this.#add(top, false);
    return top === this.#root && (await this.#isTemporaryElsewhere()) ? this.#replaceRoot(false) : known;
  }

  /** `.tmp` may be a mount itself; nothing can be renamed out of it. */
  async #isTemporaryElsewhere(): Promise<boolean> {
    return (await canRenameBetween(this.#root, join(this.#root, '.tmp'))) === false;
  }

  #replaceRoot(isShared: boolean): Mount {
    const root = mount(this.#root, join(this.#root, temporaryName), isShared);
    this.#mounts = [root, ...this.#mounts.slice(1)];
    return root;
  }

  #add(top: string, isShared: boolean): Mount {
    const added = mount(top, join(top, temporaryName), isShared);
    this.#mounts = [...this.#mounts, added];
    return added;
  }
}

function mount(top: string, temporary: string, isShared: boolean): Mount {
  return { top, temporary, isShared, marker: top, made: false, hardLinks: true };
}

/** Whether a path is the folder itself or below it. */
function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

/** The folders and links in a folder. */
async function foldersIn(path: string): Promise<string[]> {
  const entries = await fs.readdir(path, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => join(path, entry.name));
}

/**
 * Whether files can be renamed between two folders; undefined if one does not exist. Two mounts of one file system
 * (`mount --bind`) have the same device, so a rename probes them; EXDEV takes precedence over ENOENT (rename(2)).
 */
async function canRenameBetween(a: string, b: string): Promise<boolean | undefined> {
  const [one, other] = await Promise.all(
    [a, b].map(async (path) => await fs.stat(path).catch(() => undefined)),
  );
  if (one?.isDirectory() !== true || other?.isDirectory() !== true) return undefined;
  if (one.dev !== other.dev) return false;
  const name = randomUUID();
  try {
    await fs.rename(join(a, name), join(b, name));
    return true;
  } catch (error) {
    return !hasCode(error, ['EXDEV']);
  }
}
