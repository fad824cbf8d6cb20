/**
 * The pushes to a tag by which it led to something after a time: those after it, and the last one before it if that was replaced later.
 * A history has the last push of each manifest only, so the one before a push that was repeated counts as replaced by the repetition.
 * All times are in milliseconds by the clock of the store.
 * @param end when the tag was deleted, or pointed at what it points at now
 */
export function pushesInForce<Push extends { readonly at: number }>(
  pushes: readonly Push[],
  { since, end = 0 }: { readonly since: number; readonly end?: number | undefined },
): readonly Push[] {
  let [last, latest] = [0, end];
  for (const { at } of pushes) {
    if (at <= since && at > last) last = at;
    if (at > latest) latest = at;
  }
  return latest > since ? pushes.filter(({ at }) => at >= last) : [];
}
