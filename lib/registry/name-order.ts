import type { Page } from '../protocol/pages.ts';
import { compareKeys, type Listing, type ObjectStore } from '../storage/store.ts';
import type { NamePage } from './interface.ts';

/** How a bucket stores a list of names (of repositories or tags): as keys `<prefix><name><suffix>`. */
export interface NamedKeys {
  readonly prefix: string;
  /** Follows each name in its keys and determines how they sort against those of longer names. */
  readonly suffix: string;
  /** Of the listing. */
  readonly delimiter: string;
  /** Objects and prefixes that a listing returns for each name. */
  readonly entriesPerName: number;
  readonly isName: (text: string) => boolean;
  /** The keys or prefixes of a listing that represent names. */
  readonly entries: (listing: Listing) => readonly string[];
  /** Whether a name exists; called only for names that the listing has not reached yet. */
  readonly exists: (name: string) => Promise<boolean>;
}

/**
 * One page of names in byte order, built from listings in key order. The two orders differ: `app-web/_…` sorts before
 * `app/_…` because `-` sorts before `/`, and `a/0/_…` before `a/_…`. Only a name that is a prefix of a longer one can be
 * listed late in this way, so when a longer name appears, its prefixes are probed. Otherwise a client that continues
 * after the longer name would never see the shorter one.
 */
export async function namesInOrder(store: ObjectStore, keys: NamedKeys, page: Page): Promise<NamePage> {
  const { n, last } = page;
  if (n === 0) return { names: [], more: false };
  const found = new Set<string>();
  const probed = new Map<string, boolean>();
  let cursor = keys.prefix + last;
  for (;;) {
    const listing = await list(store, keys, cursor, n);
    for (const name of names(keys, listing)) if (compareKeys(name, last) > 0) found.add(name);
    const { next } = listing;
    if (next === undefined) return pageOf(firstOf(found, n + 1), n);
    const isLate = (name: string) =>
      !found.has(name) && compareKeys(keys.prefix + name + keys.suffix, next) > 0;
    const late = firstOf(found, n + 1)
      .flatMap((name) => lateNames(keys, name))
      .filter((name) => compareKeys(name, last) > 0 && isLate(name));
    await probe(keys, late, probed);
    const known = firstOf([...found, ...late.filter((name) => probed.get(name))], n + 1);
    if (known.length > n) return pageOf(known, n);
    cursor = next;
  }
}

/** @param names up to one more than fit on the page */
function pageOf(names: readonly string[], n: number): NamePage {
  return { names: names.slice(0, n), more: names.length > n };
}

async function list(store: ObjectStore, keys: NamedKeys, startAfter: string, n: number): Promise<Listing> {
  const { prefix, delimiter, entriesPerName } = keys;
  // One more than requested, to know whether a page follows, and one for `last`, whose own keys sort after it.
  const limit = Math.min(1000, (n + 2) * entriesPerName);
  return await store.list({ prefix, delimiter, startAfter, limit, skipUnreadable: true });
}

function names({ prefix, suffix, isName, entries }: NamedKeys, listing: Listing): string[] {
  return entries(listing)
    .filter((key) => key.startsWith(prefix) && key.endsWith(suffix))
    .map((key) => key.slice(prefix.length, key.length - suffix.length))
    .filter(isName);
}

/** Prefixes of a name that are names themselves and whose keys sort after its key. */
function lateNames({ suffix, isName }: NamedKeys, name: string): string[] {
  const late: string[] = [];
  for (let end = 0; end < name.length; end++)
    // Nearly all characters of names sort after the first of the suffix, so their keys do as well.
    if (name.charCodeAt(end) <= suffix.charCodeAt(0) && compareKeys(name.slice(end) + suffix, suffix) < 0)
      late.push(name.slice(0, end));
  return late.filter(isName);
}

async function probe(keys: NamedKeys, names: readonly string[], probed: Map<string, boolean>): Promise<void> {
  const unknown = [...new Set(names)].filter((name) => !probed.has(name));
  await Promise.all(unknown.map(async (name) => probed.set(name, await keys.exists(name))));
}

/** In byte order, which is the default order of names: they are ASCII. */
function firstOf(names: Iterable<string>, count: number): string[] {
  return [...new Set(names)].sort().slice(0, count);
}
