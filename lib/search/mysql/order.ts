/*
 * The key of the table is in the order of its collation, pages are in that of bytes. Of the characters of names,
 * utf8_general_ci sorts `_` after the letters, where bytes have it before them; all else is alike. So only names with a `_`
 * where others of the same beginning have a letter are in another place, and where these can be is told here, as ranges
 * of the key.
 */

/** How a collation sorts names: as utf8_general_ci, as bytes, or in another way. */
export type KeyOrder = 'general' | 'bytes' | 'other';

/** Of each, MariaDB was asked how it sorts the characters of names and those next to them. */
const general =
  /^(?:(?:utf8|utf8mb3|utf8mb4|latin1|ascii)_general_(?:nopad_|mysql500_)?ci|latin1_swedish_(?:nopad_)?ci)$/;
const bytes = /_bin$|^binary$/;

/** These take `i` for `y` or `j`, `m` for `n`, or `ccs` for `cscs`, so that of two repositories one row would be both. */
const merging = /_(?:lithuanian|roman|lt|la|lv|hu)_|^macce_general_/;

/** @returns undefined where different names are the same to a collation */
export function orderOf(collation: string): KeyOrder | undefined {
  if (merging.test(collation)) return undefined;
  return general.test(collation) ? 'general' : bytes.test(collation) ? 'bytes' : 'other';
}

/** Texts from `from` on and before `to`, in the order of the collation. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** Characters that the collation sorts next to those of names: after letters, after `_`, and after all. */
const afterLetters = '[';
const afterUnderscore = '`';
const afterAll = '~';

/** What follows a beginning with `_`. */
function underscored(beginning: string): KeyRange {
  return { from: `${beginning}_`, to: `${beginning}${afterUnderscore}` };
}

/** What follows a beginning with a letter. */
function lettered(beginning: string): KeyRange {
  return { from: `${beginning}a`, to: `${beginning}${afterLetters}` };
}

/** Where a name has a letter, or where it has a `_`, and others could have the other. */
function placesOf(name: string, character: RegExp): string[] {
  return Array.from(name, (_, at) => at)
    .filter((at) => character.test(name.charAt(at)) && /[a-z0-9_]$/.test(name.slice(0, at)))
    .map((at) => name.slice(0, at));
}

/**
 * Where the names are that come after one in byte order: in the order of the key, and apart.
 * @param last a name, or nothing
 */
export function rangesAfter(last: string, order: Exclude<KeyOrder, 'other'>): KeyRange[] {
  // The least that can follow a name in another.
  const least = last === '' ? '' : `${last}-`;
  if (order === 'bytes') return [{ from: least, to: afterAll }];
  // With a letter in place of its `_` they are after it as well, but the key has them before.
  const before = placesOf(last, /_/).map(lettered);
  // With a `_` in place of its letter they are before it. The longer what they have in common, the earlier in the key.
  const skipped = placesOf(last, /[a-z]/).map(underscored).reverse();
  const from = [least, ...skipped.map(({ to }) => to)];
  const to = [...skipped.map(({ from }) => from), afterAll];
  return [...before, ...from.map((start, i) => ({ from: start, to: to[i] ?? afterAll }))];
}

/**
 * Where the names are that come after all of these in the key, and before one of them in byte order.
 * @param names in the order of the key, without a gap
 */
export function rangesOfLate(names: readonly string[]): KeyRange[] {
  const last = names.at(-1) ?? '';
  const beginnings = new Set([
    ...placesOf(last, /[a-z]/),
    ...placesOf(last, /_/).filter((beginning) => names.some((name) => hasLetterAfter(name, beginning))),
  ]);
  // Of two of them the key has the longer one first, or the longer one is a part of the other.
  return [...beginnings].sort((a, b) => b.length - a.length).map(underscored);
}

function hasLetterAfter(name: string, beginning: string): boolean {
  return name.startsWith(beginning) && /[a-z]/.test(name.charAt(beginning.length));
}

/** What two rows of ranges have in common. */
export function intersect(ones: readonly KeyRange[], others: readonly KeyRange[]): KeyRange[] {
  return ones.flatMap((one) =>
    others
      .map(({ from, to }) => ({
        from: compareInKey(one.from, from) > 0 ? one.from : from,
        to: compareInKey(one.to, to) < 0 ? one.to : to,
      }))
      .filter(({ from, to }) => compareInKey(from, to) < 0),
  );
}

/** The order of the collation, of texts in ASCII. */
export function compareInKey(one: string, other: string): number {
  const [a, b] = [one.toUpperCase(), other.toUpperCase()];
  return a === b ? 0 : a < b ? -1 : 1;
}
