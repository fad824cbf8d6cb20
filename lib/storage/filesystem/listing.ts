import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { notFoundCodes, hasCode, ignoring, unreadableCodes } from '../file-errors.ts';
import type { Entries } from './folder-entries.ts';
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

/** Entries that are visited at one go: about a millisecond, if they were used lately. */
const visitsBetweenPauses = 100;

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
  const { suffix = '' } = options;
  if (suffix.startsWith('/') && page.prefix.endsWith('/')) await visitNames(folder, top, suffix, page);
  else await walk(folder, top, page);
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
  /** By key, of objects that are described already. */
  readonly infos = new Map<string, ObjectInfo>();
  readonly skipUnreadable: boolean;
  readonly #prefixes: string[] = [];
  readonly #delimiter: string | undefined;
  readonly #after: string;
  readonly #limit: number;
  /** The prefix rolled up last: further keys in it are skipped. */
  #done: string | undefined;
  #last: string | undefined;
  #more = false;
  #visited = 0;

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
      (this.#last !== undefined ||
        compareKeys(path, this.#after) > 0 ||
        (folder && this.#after.startsWith(path))) &&
      (this.#done === undefined || !path.startsWith(this.#done))
    );
  }

  /** The index of the first of a folder's sorted entries that may be wanted. */
  start(top: string, names: readonly string[]): number {
    return Math.max(indexFrom(top, names, this.prefix), indexFrom(top, names, this.#after));
  }

  /** Whether a path and all after it are beyond the prefix. */
  isPast(path: string): boolean {
    return !path.startsWith(this.prefix) && compareKeys(path, this.prefix) > 0;
  }

  /** Whether all keys of a folder are rolled up to one prefix. */
  rollsUp(folder: string): boolean {
    return rolledUp(this.prefix, this.#delimiter, folder) !== undefined;
  }

  /** Lets other requests in now and then, as files that were used lately are looked up synchronously. */
  async pause(): Promise<void> {
    if (++this.#visited % visitsBetweenPauses === 0) await setImmediate();
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

/** The index of the first entry that is `path`, contains it or comes after it. */
function indexFrom(top: string, names: readonly string[], path: string): number {
  if (!path.startsWith(top)) return compareKeys(top, path) < 0 ? names.length : 0;
  const name = path.slice(top.length, path.indexOf('/', top.length) + 1 || undefined);
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(names[middle] ?? '', name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function walk(folder: Folder, top: string, page: Page): Promise<void> {
  const { names, links } = await entriesOf(folder, top, page);
  for (let i = page.start(top, names); i < names.length; i++) {
    const name = names[i] ?? '';
    const path = top + name;
    if (page.full || page.isPast(path)) return;
    // Every time, as the entry before may have rolled this one up.
    if (!page.wants(path) || !isKey(path) || !isVisible(top, name)) continue;
    await page.pause();
    if (links.has(name) && !(await leadsToFolder(folder, path, page))) continue;
    if (!path.endsWith('/')) page.add(path);
    else if (!page.rollsUp(path)) await walk(folder, path, page);
    else if (await hasObject(folder, path, page)) page.add(path);
  }
}

/** Visits only the keys that consist of the name of a folder and a suffix. */
async function visitNames(folder: Folder, top: string, suffix: string, page: Page): Promise<void> {
  const { names, links } = await entriesOf(folder, top, page);
  for (let i = page.start(top, names); i < names.length && !page.full; i++) {
    const name = names[i] ?? '';
    const key = top + name.slice(0, -1) + suffix;
    if (!name.endsWith('/') || !page.wants(key) || !isKey(key) || !isVisible(top, name)) continue;
    await page.pause();
    if (links.has(name) && !(await leadsToFolder(folder, top + name, page))) continue;
    if ((await describe(folder, key, page)) !== undefined) page.add(key);
  }
}

/** Whether a folder has an object, in it or below. */
async function hasObject(folder: Folder, top: string, page: Page): Promise<boolean> {
  const sample = folder.samples.get(top);
  if (sample !== undefined && (await isFile(folder, folder.at(sample)))) return true;
  const found = await findObject(folder, top, page);
  if (found === undefined) folder.samples.delete(top);
  else folder.samples.set(top, found);
  return found !== undefined;
}

async function isFile(folder: Folder, path: string): Promise<boolean> {
  const known = folder.files.lstatNow(path);
  if (known !== undefined) return known.isFile();
  return await folder.files.lstat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

/** The key of any object below a folder. */
async function findObject(folder: Folder, top: string, page: Page): Promise<string | undefined> {
  const entries = await readOrSkip(folder, top, page, async () => {
    return await fs.readdir(folder.at(top), { withFileTypes: true });
  });
  for (const entry of entries ?? []) {
    const path = top + entry.name;
    if (!isVisible(top, entry.name) || !isKey(path)) continue;
    if (entry.isFile()) return path;
    const isFolder = entry.isSymbolicLink()
      ? await leadsToFolder(folder, `${path}/`, page)
      : entry.isDirectory();
    const found = isFolder ? await findObject(folder, `${path}/`, page) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

async function entriesOf(folder: Folder, top: string, page: Page): Promise<Entries> {
  const path = folder.at(top);
  const known = folder.entries.now(path);
  if (known !== undefined) return known;
  return (await readOrSkip(folder, top, page, async () => await folder.entries.of(path))) ?? none;
}

const none: Entries = { names: [], links: new Set() };

/** Whether an entry of a folder is an object or has some, by its name. */
function isVisible(top: string, name: string): boolean {
  if (top !== '' && !name.startsWith(temporaryName)) return true;
  const segment = name.endsWith('/') ? name.slice(0, -1) : name;
  return segment !== temporaryName && (top !== '' || areValidSegments([segment]));
}

function isKey(path: string): boolean {
  // A character has at most three bytes for each of its units.
  return path.length <= maxKeyBytes / 3 || Buffer.byteLength(path) <= maxKeyBytes;
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
async function leadsToFolder(folder: Folder, path: string, page: Page): Promise<boolean> {
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
  const known = page.infos.get(key);
  if (known !== undefined) return known;
  const path = folder.at(key);
  const stats =
    folder.files.lstatNow(path) ??
    (await readOrSkip(folder, key, page, async () => await folder.files.lstat(path)));
  if (stats?.isFile() !== true) return undefined;
  const info = objectInfo(key, stats);
  page.infos.set(key, info);
  return info;
}
