import fs from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { areValidSegments, objectInfo, type Folder } from './folder.ts';
import { entriesOf, isKey, isVisible, leadsToFolder, readOrSkip } from './walk.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import { maxPageSize, rolledUp } from '../listing-page.ts';
import { compareKeys, type Listing, type ListOptions, type ObjectInfo, StoreUnavailable } from '../store.ts';

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
