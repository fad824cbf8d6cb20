/**
 * Applies an async function to items in batches of `batchSize`.
 * @returns the results in the order of the items
 */
export async function inParallel<T, R>(
  items: readonly T[],
  batchSize: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += batchSize)
    results.push(...(await Promise.all(items.slice(at, at + batchSize).map(work))));
  return results;
}
