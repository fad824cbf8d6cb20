import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';

import { hasCode, ignoring } from '../file-errors.ts';

/**
 * Name of the folder for temporary files at the top of what is mounted or linked below the root. No component of a
 * repository's name and no tag can be called so, and what begins with an underscore distribution does not look into for
 * repositories.
 */
export const temporaryName = '_stowage~tmp';

/** Folders of the store's own at the top of its root; no key lies in them. */
export const privateNames: ReadonlySet<string> = new Set(['.tmp', '.metadata']);

/** Levels of folders in which mounts are looked for at the start: down to `docker/registry/v2/blobs/sha256`. */
const levels = 5;

/** Folders in one folder that are looked at for that. Where there are more, a mount is found when it is first written to. */
const mostFolders = 100;

/** Folders of one level, whatever is in the root beside images. */
const mostOfLevel = 500;

/** A part of the store between whose folders files can be renamed: the root, or what is mounted or linked below it. */
export interface Mount {
  readonly top: string;
  /** Its folder for files that are not under their keys yet. */
  readonly temporary: string;
  /** Whether it was found at the start, as other processes have found it. */
  readonly found: 'at the start' | 'later';
  /** What is there while the mount is; it cannot be told from its mount point otherwise. */
  marker: string;
  /** Whether the temporary folder was made. */
  made: boolean;
}

/**
 * Where the files of a folder lie: on its own file system, and on others that are mounted or linked somewhere below it. A
 * file can be renamed within one of them only, so each has a folder for temporary files of its own.
 */
export class Mounts {
  readonly #root: string;
  /** The root's comes first. */
  #mounts: readonly Mount[];

  constructor(root: string) {
    this.#root = root;
    this.#mounts = [mount(root, join(root, '.tmp'), 'at the start')];
  }

  get all(): readonly Mount[] {
    return this.#mounts;
  }

  /** Where a path lies, as far as is known. */
  of(path: string, mounts = this.#mounts): Mount {
    const [first, ...rest] = mounts.filter(({ top }) => contains(top, path));
    if (first === undefined) throw new Error(`${path} is not below ${this.#root}`);
    return rest.reduce((best, next) => (next.top.length > best.top.length ? next : best), first);
  }

  /** The mounts that each process knows: first the one of a path, then all others. */
  shared(path: string): readonly [Mount, ...Mount[]] {
    const common = this.#mounts.filter(({ found }) => found === 'at the start');
    const own = this.of(path, common);
    return [own, ...common.filter((other) => other !== own)];
  }

  /** Those that it takes to know all that is in a folder. */
  overlapping(folder: string): readonly Mount[] {
    return this.#mounts.filter(({ top }) => contains(top, folder) || contains(folder, top));
  }

  /** Finds what is mounted in the upper levels. What cannot be read is passed over. */
  async findUpper(): Promise<void> {
    if (await this.#isTemporaryElsewhere()) this.#replaceRoot('at the start');
    let folders = (await foldersIn(this.#root)).filter((path) => !privateNames.has(basename(path)));
    for (let level = 1; level <= levels; level++) {
      for (const folder of folders)
        if ((await areOne(dirname(folder), folder)) === false) this.#add(folder, 'at the start');
      const below = level === levels ? [] : await Promise.all(folders.map(foldersIn));
      folders = below
        .filter((some) => some.length <= mostFolders)
        .flat()
        .slice(0, mostOfLevel);
    }
  }

  /** Finds where a path lies, after a rename has shown that it is not where it was thought to be. */
  async find(path: string): Promise<Mount> {
    let top = dirname(path);
    while (top !== this.#root && (await ignoring(['ENOENT', 'ENOTDIR'], fs.stat(top))) === undefined)
      top = dirname(top);
    while (top !== this.#root && (await areOne(dirname(top), top)) !== false) top = dirname(top);
    const known = this.#mounts.find((one) => one.top === top);
    if (known === undefined) return this.#add(top, 'later');
    return top === this.#root && (await this.#isTemporaryElsewhere()) ? this.#replaceRoot('later') : known;
  }

  /** `.tmp` may be a mount itself, from which nothing can be renamed to anywhere. */
  async #isTemporaryElsewhere(): Promise<boolean> {
    return (await areOne(this.#root, join(this.#root, '.tmp'))) === false;
  }

  #replaceRoot(found: Mount['found']): Mount {
    const root = mount(this.#root, join(this.#root, temporaryName), found);
    this.#mounts = [root, ...this.#mounts.slice(1)];
    return root;
  }

  #add(top: string, found: Mount['found']): Mount {
    const added = mount(top, join(top, temporaryName), found);
    this.#mounts = [...this.#mounts, added];
    return added;
  }
}

function mount(top: string, temporary: string, found: Mount['found']): Mount {
  return { top, temporary, found, marker: top, made: false };
}

/** Whether a path is this folder or lies in it. */
export function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

/** Paths of the folders in a folder, linked ones too. */
async function foldersIn(path: string): Promise<string[]> {
  const entries = await fs.readdir(path, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => join(path, entry.name));
}

/**
 * Whether files can be renamed between two folders; undefined where one of them is not there. Of two mounts of one file
 * system (`mount --bind`) only a rename tells, and it does so before it looks for the file (rename(2), EXDEV).
 */
async function areOne(a: string, b: string): Promise<boolean | undefined> {
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
