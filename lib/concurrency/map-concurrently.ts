/**
 * Applies an async function to items as they come, some of them at a time, and yields the results as they are done. Items are
 * asked for no faster than their work is done.
 */
export async function* mapConcurrently<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void> {
  const running = new Set<Promise<Done<R>>>();
  const next = async () => {
    const { self, result } = await Promise.race(running);
    running.delete(self());
    return result;
  };
  try {
    for await (const item of items) {
      const promise: Promise<Done<R>> = work(item).then((result) => ({ self: () => promise, result }));
      // Reported when it is awaited, or not at all after another failure.
      promise.catch(() => undefined);
      running.add(promise);
      if (running.size >= limit) yield await next();
    }
    while (running.size > 0) yield await next();
  } finally {
    await Promise.allSettled(running);
  }
}

interface Done<R> {
  readonly self: () => Promise<Done<R>>;
  readonly result: R;
}
