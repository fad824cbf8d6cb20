import type { BigIntStats, Dirent } from 'node:fs';
import fs from 'node:fs/promises';

import { share } from '../../concurrency/share.ts';
import { compareKeys } from '../store.ts';
import type { Files } from './files.ts';

/** Most bytes that are remembered. */
const maxBytes = 24 * 1024 ** 2;

/** What a folder takes beside its names. */
const folderBytes = 640;

/** What a name takes beside its characters: here, and in what may be derived from it (see {@link SeenNames}). */
const nameBytes = 96;

/** The longest time in which two changes may have the same time: the kernel's clock advances at least every 10 ms, … */
const resolutionMs = 50;

/** … and some file systems, such as an ext4 with small inodes, keep whole seconds. */
const coarseResolutionMs = 2000;

/** The entries of a folder. */
export interface Entries {
  /** The number of the file system; undefined if there is no folder. */
  readonly device: bigint | undefined;
  /** In key order: names of files, and with a slash of folders and links. */
  readonly names: readonly string[];
  /** The names of links, with a slash. */
  readonly links: ReadonlySet<string>;
}

interface Remembered extends Entries {
  readonly stats: BigIntStats;
  /** What it counts for, in bytes. */
  readonly cost: number;
}

/**
 * Reads folders, and remembers the sorted entries of those used last. The time of change shows whether a folder is still as
 * it was read: it cannot be set, and is updated whenever an entry is added, removed or replaced. Only local file systems
 * are relied on for that. A folder that has just changed is not remembered, as its next change may get the same time.
 */
export class FolderEntries {
  readonly #files: Files;
  readonly #maxBytes: number;
  /** Least recently used first. */
  readonly #folders = new Map<string, Remembered>();
  #size = 0;

  /** @param workers processes that share the memory */
  constructor(files: Files, workers = 1, most = maxBytes) {
    this.#files = files;
    this.#maxBytes = share(most, workers);
  }

  /**
   * The entries of a folder: the same object for as long as they are known to be the same.
   * @param path with a slash at its end, which follows a link
   */
  async of(path: string): Promise<Entries> {
    const stats = await this.#files.lstat(path);
    const known = this.#folders.get(path);
    if (known !== undefined && isSame(known.stats, stats)) return this.#remember(path, known);
    const isSettled = Date.now() - Number(stats.ctimeMs) > resolutionOf(stats);
    const entries = { ...sorted(await fs.readdir(path, { withFileTypes: true })), device: stats.dev, stats };
    if (!isSettled || !this.#files.isLocal(stats.dev, path)) return entries;
    return this.#remember(path, { ...entries, cost: costOf(path, entries) });
  }

  /** As {@link of}, but only if that need not wait. */
  now(path: string): Entries | undefined {
    const known = this.#folders.get(path);
    const stats = known && this.#files.lstatNow(path);
    return known && stats && isSame(known.stats, stats) ? this.#remember(path, known) : undefined;
  }

  #remember(path: string, folder: Remembered): Entries {
    this.#forget(path);
    if (folder.cost > this.#maxBytes) return folder;
    this.#folders.set(path, folder);
    this.#size += folder.cost;
    for (const oldest of this.#folders.keys()) {
      if (this.#size <= this.#maxBytes) break;
      this.#forget(oldest);
    }
    return folder;
  }

  #forget(path: string): void {
    const known = this.#folders.get(path);
    if (known === undefined) return;
    this.#folders.delete(path);
    this.#size -= known.cost;
  }
}

function costOf(path: string, { names }: Pick<Entries, 'names'>): number {
  return names.reduce((sum, name) => sum + name.length + nameBytes, folderBytes + path.length);
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ctimeNs === b.ctimeNs && a.mtimeNs === b.mtimeNs && a.ino === b.ino && a.dev === b.dev;
}

function resolutionOf({ ctimeNs }: BigIntStats): number {
  return ctimeNs % 1_000_000_000n === 0n ? coarseResolutionMs : resolutionMs;
}

function sorted(entries: readonly Dirent[]): Pick<Entries, 'names' | 'links'> {
  const names: string[] = [];
  const links = new Set<string>();
  for (const entry of entries) {
    const isLink = entry.isSymbolicLink();
    if (entry.isFile()) names.push(entry.name);
    else if (isLink || entry.isDirectory()) names.push(`${entry.name}/`);
    if (isLink) links.add(`${entry.name}/`);
  }
  return { names: sortKeys(names), links };
}

/** Sorts keys, or names, in the order of their UTF-8 bytes. */
export function sortKeys(keys: string[]): string[] {
  // The default UTF-16 order is the same without surrogates, and much faster for a large folder.
  return keys.some((key) => /[\ud800-\udfff]/.test(key)) ? keys.sort(compareKeys) : keys.sort();
}
