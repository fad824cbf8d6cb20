/** Edits by which a typo may differ. */
const maxEdits = 2;

/**
 * "did you mean …?" with the closest known name, the only one with this prefix, or the only one whose last word is the same but
 * for its end; undefined if there is none.
 */
export function didYouMean(given: string, known: Iterable<string>): string | undefined {
  const names = [...known];
  const [nearest] = names
    .map((name) => ({ name, edits: editDistance(given, name) }))
    .filter(({ edits }) => edits <= Math.min(maxEdits, given.length / 2))
    .sort((a, b) => a.edits - b.edits);
  const completions = names.filter((name) => name.startsWith(given));
  const inflected = names.filter((name) => differsInEnd(given, name));
  const meant = nearest?.name ?? only(completions) ?? only(inflected);
  return meant === undefined ? undefined : `did you mean ${meant}?`;
}

function only(names: readonly string[]): string | undefined {
  return names.length === 1 ? names[0] : undefined;
}

/** Whether two names are one word in two forms, such as ADDRESS and ADDR, or PROXY and PROXIES, after equal ones. */
function differsInEnd(given: string, known: string): boolean {
  const [givenWords, knownWords] = [given, known].map((name) => name.split(/(?<=[^a-zA-Z0-9])/));
  const [givenEnd = '', knownEnd = ''] = [givenWords?.pop(), knownWords?.pop()];
  if (givenWords?.join('') !== knownWords?.join('')) return false;
  let same = 0;
  while (same < knownEnd.length && givenEnd.charAt(same) === knownEnd.charAt(same)) same++;
  const differing = Math.max(givenEnd.length, knownEnd.length) - same;
  return same >= minSame && (same === knownEnd.length ? differing <= same : differing * 3 <= same);
}

/** Letters at the start of a word that say which one it is. */
const minSame = 4;

/** Levenshtein distance; Infinity if the lengths differ too much. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > maxEdits) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(at(next, j) + 1, at(row, j + 1) + 1, at(row, j) + (a[i] === b[j] ? 0 : 1)));
    row = next;
  }
  return at(row, b.length);
}

const at = (row: readonly number[], index: number): number => row[index] ?? Infinity;
