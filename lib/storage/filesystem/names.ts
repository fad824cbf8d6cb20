import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { inParallel } from '../../concurrency/in-parallel.ts';
import { compareKeys, namedSuffix, type NameOptions, StoreUnavailable } from '../store.ts';
import { areValidSegments, type Folder } from './folder.ts';
import type { SeenNames } from './seen-names.ts';
import { entriesOf, isKey, isVisible, leadsToFolder, readOrSkip } from './walk.ts';

/** Names that are looked up before other requests have their turn: about half a millisecond, if they were used lately. */
const lookUpsAtOnce = 100;

/** Look-ups in parallel, where they need threads. */
const parallelLookUps = 32;

/** The names in a folder: those of its folders that have an object at {@link namedSuffix}. See `ObjectLister.listNames`. */
export async function listNames(
  folder: Folder,
  prefix: string,
  { isName, after, limit }: NameOptions,
): Promise<string[]> {
  if (!areValidSegments(prefix.slice(0, -1).split('/'))) return [];
  const known = folder.seen.of(await entriesOf(folder, prefix, { prefix, skipUnreadable: true }));
  const { names, seen } = known;
  const found: string[] = [];
  let isWhole = names.length > 0;
  for (let at = indexAfter(names, after); at < names.length && found.length < limit;) {
    const end = Math.min(names.length, at + Math.min(lookUpsAtOnce, limit - found.length));
    const batch: number[] = [];
    for (; at < end; at++) if (isName(names[at] ?? '')) batch.push(at);
    const unseen = batch.filter((i) => seen[i] !== 1);
    const missing = unseen.length === 0 ? none : await lookUp(folder, prefix, known, unseen);
    if (missing.size > 0) isWhole = false;
    for (const i of batch) if (!missing.has(i)) found.push(names[i] ?? '');
  }
  // A missing folder is empty, but a missing mount is an outage.
  if (!isWhole && !(await folder.isAvailable(join(folder.root, prefix.slice(0, -1)))))
    throw new StoreUnavailable(prefix, `${folder.root} is missing`);
  return found;
}

const none: ReadonlySet<number> = new Set();

/** Looks up the objects of names. @returns the indexes of those that have none */
async function lookUp(
  folder: Folder,
  prefix: string,
  known: SeenNames,
  indexes: readonly number[],
): Promise<Set<number>> {
  const exist = await inParallel(
    indexes,
    parallelLookUps,
    async (i) => await exists(folder, prefix, known, i),
  );
  await setImmediate();
  return new Set(indexes.filter((_, i) => exist[i] !== true));
}

async function exists(folder: Folder, prefix: string, known: SeenNames, index: number): Promise<boolean> {
  const { names, seen, entries } = known;
  const name = names[index] ?? '';
  const key = `${prefix}${name}${namedSuffix}`;
  const walk = { prefix, skipUnreadable: true };
  if (!isKey(key) || !isVisible(prefix, name)) return false;
  const isLink = entries.links.has(`${name}/`);
  if (isLink && !(await leadsToFolder(folder, `${prefix}${name}/`, walk))) return false;
  const path = folder.at(key);
  const stats =
    folder.files.lstatNow(path) ??
    (await readOrSkip(folder, key, walk, async () => await folder.files.lstat(path)));
  if (stats?.isFile() !== true) return false;
  // What a link or a mount leads to may go while the folder stays as it is.
  if (!isLink && stats.dev === entries.device) seen[index] = 1;
  return true;
}

/** The index of the first name after another. */
function indexAfter(names: readonly string[], after: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(names[middle] ?? '', after) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
