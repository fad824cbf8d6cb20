import type { Dirent } from 'node:fs';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { notFoundCodes, hasCode, ignoring, unreadableCodes } from '../file-errors.ts';
import { areValidSegments, objectInfo, type Folder } from './folder.ts';
import { temporaryName } from './mounts.ts';
import {
  compareKeys,
  type Listing,
  type ListOptions,
  type ObjectInfo,
  ObjectUnreadable,
  StoreUnavailable,
} from '../store.ts';

const largestPage = 1000;
const longestKey = 1024;

/** Files looked at at once. */
const statsAtOnce = 32;

/**
 * One page of the keys in a folder. It reads the folders that may hold entries of the page, in order, and no others:
 * from the deepest one the prefix names, leaving out what lies before `startAfter` or in a prefix already rolled up.
 */
export async function listFolder(folder: Folder, options: ListOptions): Promise<Listing> {
  const page = new Page(options);
  const top = page.prefix.slice(0, page.prefix.lastIndexOf('/') + 1);
  // A prefix no key can have; above all it must not lead out of the root.
  if (top !== '' && !areValidSegments(top.slice(0, -1).split('/'))) return page.listing([]);
  await walk(folder, top, page);
  // Folders that are not there are empty; that all are gone is an outage.
  if (!(await folder.isAvailable(join(folder.root, top.slice(0, -1)))))
    throw new StoreUnavailable(top, `${folder.root} is not there`);
  return page.listing(await describeAll(folder, page));
}

/** What a page takes of the keys it is shown in order. */
class Page {
  readonly prefix: string;
  readonly keys: string[] = [];
  readonly skipUnreadable: boolean;
  readonly #prefixes: string[] = [];
  readonly #delimiter: string;
  readonly #after: string;
  readonly #limit: number;
  /** The prefix rolled up last: nothing in it matters any more. */
  #done: string | undefined;
  #last: string | undefined;
  #more = false;

  constructor({
    prefix = '',
    delimiter = '',
    startAfter = '',
    limit = largestPage,
    skipUnreadable = false,
  }: ListOptions) {
    this.prefix = prefix;
    this.skipUnreadable = skipUnreadable;
    this.#delimiter = delimiter;
    this.#after = startAfter;
    this.#limit = Math.max(1, Math.min(limit, largestPage));
    this.#done = this.#rolledUp(startAfter);
  }

  /** Whether a key, or a folder written with its slash, may hold what is still to be listed. */
  wants(path: string): boolean {
    const folder = path.endsWith('/');
    return (
      (path.startsWith(this.prefix) || (folder && this.prefix.startsWith(path))) &&
      (compareKeys(path, this.#after) > 0 || (folder && this.#after.startsWith(path))) &&
      (this.#done === undefined || !path.startsWith(this.#done))
    );
  }

  /** Takes a key that it wants, in order. */
  add(key: string): void {
    if (this.keys.length + this.#prefixes.length === this.#limit) {
      this.#more = true;
      return;
    }
    this.#done = this.#rolledUp(key);
    if (this.#done === undefined) this.keys.push(key);
    else this.#prefixes.push(this.#done);
    this.#last = this.#done ?? key;
  }

  /** Full is a page only with the first key that no longer fits: without it, it would be the last one. */
  get full(): boolean {
    return this.#more;
  }

  listing(objects: readonly ObjectInfo[]): Listing {
    return { objects, prefixes: this.#prefixes, next: this.#more ? this.#last : undefined };
  }

  #rolledUp(key: string): string | undefined {
    if (this.#delimiter === '' || !key.startsWith(this.prefix)) return undefined;
    const at = key.indexOf(this.#delimiter, this.prefix.length);
    return at < 0 ? undefined : key.slice(0, at + this.#delimiter.length);
  }
}

async function walk(folder: Folder, top: string, page: Page): Promise<void> {
  for (const path of await childrenOf(folder, top, page)) {
    if (page.full) return;
    // Asked again, for the entry before may have rolled this one up.
    if (!page.wants(path)) continue;
    if (path.endsWith('/')) await walk(folder, path, page);
    else page.add(path);
  }
}

/** What the page wants of a folder, in the order of the keys: a folder sorts by its name with the slash. */
async function childrenOf(folder: Folder, top: string, page: Page): Promise<string[]> {
  const entries = await readingOne(folder, top, page, async () => {
    return await fs.readdir(join(folder.root, top), { withFileTypes: true });
  });
  const children = (entries ?? [])
    .filter(({ name }) => name !== temporaryName && (top !== '' || areValidSegments([name])))
    .map((entry) => ({ entry, path: `${top}${entry.name}${entry.isFile() ? '' : '/'}` }))
    .filter(({ path }) => page.wants(path) && Buffer.byteLength(path) <= longestKey);
  const paths: string[] = [];
  for (const { entry, path } of children) {
    const isWanted =
      entry.isFile() || entry.isDirectory() || (await leadsToFolder(folder, entry, path, page));
    if (isWanted) paths.push(path);
  }
  // The plain order is UTF-16's, which is the same, and much quicker for a great folder, unless surrogates are involved.
  return paths.some((path) => /[\ud800-\udfff]/.test(path)) ? paths.sort(compareKeys) : paths.sort();
}

/** Reads one of many, which is passed over if it cannot be read and the page says so. */
async function readingOne<T>(
  folder: Folder,
  path: string,
  page: Page,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ignoring(notFoundCodes, read());
  } catch (error) {
    if (!hasCode(error, unreadableCodes)) throw error;
    reportSkipped(folder, path, page, error);
    return undefined;
  }
}

function reportSkipped(folder: Folder, path: string, page: Page, cause: unknown): void {
  // Of the folder that is asked for it is an outage.
  if (!page.skipUnreadable || page.prefix.startsWith(path))
    throw new ObjectUnreadable(path, `${join(folder.root, path)}: ${String(cause)}`, { cause });
  folder.onDamaged(path, cause);
}

/**
 * Whether a link is followed: one to a folder, unless the link itself lies below that, in which a listing would never come
 * to an end.
 */
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
    // What it leads to is away, or cannot be entered; unless the link itself is gone.
    const isThere = (await ignoring(notFoundCodes, fs.lstat(link))) !== undefined;
    if (isThere && hasCode(error, ['ENOENT', ...unreadableCodes])) reportSkipped(folder, path, page, error);
    else if (!hasCode(error, notFoundCodes)) throw error;
    return false;
  }
}

/** Without those that are gone since their folder was read. */
async function describeAll(folder: Folder, page: Page): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for (let at = 0; at < page.keys.length; at += statsAtOnce) {
    const keys = page.keys.slice(at, at + statsAtOnce);
    const infos = await Promise.all(keys.map((key) => describeOne(folder, key, page)));
    found.push(...infos.filter((info) => info !== undefined));
  }
  return found;
}

async function describeOne(folder: Folder, key: string, page: Page): Promise<ObjectInfo | undefined> {
  const stats = await readingOne(folder, key, page, async () => {
    return await fs.lstat(join(folder.root, key), { bigint: true });
  });
  return stats?.isFile() === true ? objectInfo(key, stats) : undefined;
}
