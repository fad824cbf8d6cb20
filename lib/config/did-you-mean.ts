/** Letters that a mistyped name may differ in. */
const mostEdits = 2;

/**
 * Asks "did you mean …?" of a name that is not known.
 * @returns undefined where none of the known ones is like it: few letters away, or the only one that begins so
 */
export function didYouMean(given: string, known: Iterable<string>): string | undefined {
  const names = [...known];
  const [nearest] = names
    .map((name) => ({ name, edits: editDistance(given, name) }))
    .filter(({ edits }) => edits <= Math.min(mostEdits, given.length / 2))
    .sort((a, b) => a.edits - b.edits);
  const longer = names.filter((name) => name.startsWith(given));
  const meant = nearest?.name ?? (longer.length === 1 ? longer[0] : undefined);
  return meant === undefined ? undefined : `did you mean ${meant}?`;
}

/** Levenshtein's: letters to insert, remove or replace. Infinity where the lengths differ too much. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > mostEdits) return Infinity;
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
