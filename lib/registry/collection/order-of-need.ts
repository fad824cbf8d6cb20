import type { Digest } from '../../protocol/digests.ts';

/**
 * Digests in groups, from those that need nothing on: whatever needs something is in a later group. Without recursion, since a chain of
 * referrers or indexes may be longer than the stack of calls. Of referrers that are named in a circle, one is as if it needed nothing.
 * @param needed what each needs
 */
export function inOrderOfNeed(
  roots: Iterable<Digest>,
  needed: ReadonlyMap<Digest, ReadonlySet<Digest>>,
): Digest[][] {
  const heights = new Map<Digest, number>();
  const raise = (digest: Digest, height: number) =>
    heights.set(digest, Math.max(height, heights.get(digest) ?? 0));
  const below = (digest: Digest) => ({ digest, left: (needed.get(digest) ?? new Set<Digest>()).values() });
  for (const root of roots) {
    if (heights.has(root)) continue;
    heights.set(root, 0);
    const path = [below(root)];
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const { value: next } = last.left.next();
      if (next === undefined) {
        path.pop();
        const above = path.at(-1);
        if (above !== undefined) raise(above.digest, (heights.get(last.digest) ?? 0) + 1);
        continue;
      }
      const known = heights.get(next);
      if (known !== undefined) raise(last.digest, known + 1);
      else {
        heights.set(next, 0);
        path.push(below(next));
      }
    }
  }
  const groups = Map.groupBy(heights.keys(), (digest) => heights.get(digest) ?? 0);
  return [...groups].sort(([a], [b]) => a - b).map(([, digests]) => digests);
}
