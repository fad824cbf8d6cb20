import type { Dirent } from 'node:fs';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { notFoundCodes, hasCode, ignoring, unreadableCodes } from '../file-errors.ts';
import { areValidSegments, objectInfo, type Folder } from './folder.ts';
import { temporaryName } from './mounts.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { maxPageSize, rolledUp } from '../listing-page.ts';
import {
  compareKeys,
  type Listing,
  type ListOptions,
  type ObjectInfo,
  ObjectUnreadable,
  StoreUnavailable,
} from '../store.ts';

const maxKeyBytes = 1024;

/** Files described in parallel. */
const parallelStats = 32;

/**
 * One page of the keys in a folder. Reads only folders that may contain entries of the page, in order: it starts at the
 * deepest folder in the prefix and skips folders before `startAfter` or in a prefix already rolled up.
 */
export async function listFolder(folder: Folder, options: ListOptions): Promise<Listing> {
  const page = new Page(options);
  const top = page.prefix.slice(0, page.prefix.lastIndexOf('/') + 1);
  // No key has such a prefix; most of all, it must not lead out of the root.
  if (top !== '' && !areValidSegments(top.slice(0, -1).split('/'))) return page.listing([]);
  await walk(folder, top, page);
  // A missing folder is empty, but a missing mount is an outage.
  if (!(await folder.isAvailable(join(folder.root, top.slice(0, -1)))))
    throw new StoreUnavailable(top, `${folder.root} is missing`);
  const infos = await inParallel(page.keys, parallelStats, async (key) => await describe(folder, key, page));
  return page.listing(infos.filter((info) => info !== undefined));
}

/** Collects the entries of a page from keys in order. */
class Page {
  readonly prefix: string;
  readonly keys: string[] = [];
  readonly skipUnreadable: boolean;
  readonly #prefixes: string[] = [];
  readonly #delimiter: string | undefined;
  readonly #after: string;
  readonly #limit: number;
  /** The prefix rolled up last: further keys in it are skipped. */
  #done: string | undefined;
  #last: string | undefined;
  #more = false;

  constructor({
    prefix = '',
    delimiter,
    startAfter = '',
    limit = maxPageSize,
    skipUnreadable = false,
  }: ListOptions) {
    this.prefix = prefix;
    this.skipUnreadable = skipUnreadable;
    this.#delimiter = delimiter;
    this.#after = startAfter;
    this.#limit = Math.max(1, Math.min(limit, maxPageSize));
    this.#done = rolledUp(prefix, delimiter, startAfter);
  }

  /** Whether a key, or a folder with its slash, may be or contain a further entry. */
  wants(path: string): boolean {
    const folder = path.endsWith('/');
    return (
      (path.startsWith(this.prefix) || (folder && this.prefix.startsWith(path))) &&
      (compareKeys(path, this.#after) > 0 || (folder && this.#after.startsWith(path))) &&
      (this.#done === undefined || !path.startsWith(this.#done))
    );
  }

  /** Adds a wanted key, in order. */
  add(key: string): void {
    if (this.keys.length + this.#prefixes.length === this.#limit) {
      this.#more = true;
      return;
    }
    this.#done = rolledUp(this.prefix, this.#delimiter, key);
    if (this.#done === undefined) this.keys.push(key);
    else this.#prefixes.push(this.#done);
    this.#last = this.#done ?? key;
  }

  /** Full only after a key that no longer fits; without one, this is the last page. */
  get full(): boolean {
    return this.#more;
  }

  listing(objects: readonly ObjectInfo[]): Listing {
    return { objects, prefixes: this.#prefixes, next: this.#more ? this.#last : undefined };
  }
}

async function walk(folder: Folder, top: string, page: Page): Promise<void> {
  for (const path of await childrenOf(folder, top, page)) {
    if (page.full) return;
    // Checked again: the entry before may have rolled this one up.
    if (!page.wants(path)) continue;
    if (path.endsWith('/')) await walk(folder, path, page);
    else page.add(path);
  }
}

/** The wanted children of a folder in key order: a folder sorts by its name with the slash. */
async function childrenOf(folder: Folder, top: string, page: Page): Promise<string[]> {
  const entries = await readOrSkip(folder, top, page, async () => {
    return await fs.readdir(join(folder.root, top), { withFileTypes: true });
  });
  const children = (entries ?? [])
    .filter(({ name }) => name !== temporaryName && (top !== '' || areValidSegments([name])))
    .map((entry) => ({ entry, path: `${top}${entry.name}${entry.isFile() ? '' : '/'}` }))
    .filter(({ path }) => page.wants(path) && Buffer.byteLength(path) <= maxKeyBytes);
  const paths: string[] = [];
  for (const { entry, path } of children) {
    const isWanted =
      entry.isFile() || entry.isDirectory() || (await leadsToFolder(folder, entry, path, page));
    if (isWanted) paths.push(path);
  }
  // The default UTF-16 order is the same without surrogates, and much faster for a large folder.
  return paths.some((path) => /[\ud800-\udfff]/.test(path)) ? paths.sort(compareKeys) : paths.sort();
}

/** Reads a file or folder; skips it if it is gone, or unreadable where the page allows that. */
async function readOrSkip<T>(
  folder: Folder,
  path: string,
  page: Page,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ignoring(notFoundCodes, read());
  } catch (error) {
    if (!hasCode(error, unreadableCodes)) throw error;
    skip(folder, path, page, error);
    return undefined;
  }
}

function skip(folder: Folder, path: string, page: Page, cause: unknown): void {
  // For the listed folder itself it is an outage.
  if (!page.skipUnreadable || page.prefix.startsWith(path))
    throw new ObjectUnreadable(path, `${join(folder.root, path)}: ${String(cause)}`, { cause });
  folder.onDamaged(path, cause);
}

/** Whether a link is followed: if it leads to a folder that does not contain the link, which would loop forever. */
async function leadsToFolder(folder: Folder, entry: Dirent, path: string, page: Page): Promise<boolean> {
  if (!entry.isSymbolicLink()) return false;
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
    if (isThere && hasCode(error, ['ENOENT', ...unreadableCodes])) skip(folder, path, page, error);
    else if (!hasCode(error, notFoundCodes)) throw error;
    return false;
  }
}

/** Undefined if the file is gone since its folder was read. */
async function describe(folder: Folder, key: string, page: Page): Promise<ObjectInfo | undefined> {
  const stats = await readOrSkip(folder, key, page, async () => {
    return await fs.lstat(join(folder.root, key), { bigint: true });
  });
  return stats?.isFile() === true ? objectInfo(key, stats) : undefined;
}
