/** Edits by which a typo may differ. */
const maxEdits = 2;

/** "did you mean …?" with the closest known name, or the only one with this prefix; undefined if there is none. */
export function didYouMean(given: string, known: Iterable<string>): string | undefined {
  const names = [...known];
  const [nearest] = names
    .map((name) => ({ name, edits: editDistance(given, name) }))
    .filter(({ edits }) => edits <= Math.min(maxEdits, given.length / 2))
    .sort((a, b) => a.edits - b.edits);
  const completions = names.filter((name) => name.startsWith(given));
  const meant = nearest?.name ?? (completions.length === 1 ? completions[0] : undefined);
  return meant === undefined ? undefined : `did you mean ${meant}?`;
}

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
