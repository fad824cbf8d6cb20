import { AsyncLocalStorage } from 'node:async_hooks';
import type { ConcurrencyLimit } from './concurrency-limit.ts';

/** A place that a task has in a concurrency limit. */
interface Place {
  readonly limit: ConcurrencyLimit;
  isHeld: boolean;
}

const current = new AsyncLocalStorage<Place>();

/** Runs a task with a place, which it can give back for a while by {@link withoutPlace}. @throws the limit's error if there is none */
export async function runInPlace<T>(limit: ConcurrencyLimit, task: () => Promise<T>): Promise<T> {
  await limit.acquire();
  const place = { limit, isHeld: true };
  try {
    return await current.run(place, task);
  } finally {
    if (place.isHeld) limit.release();
  }
}

/**
 * Waits for what the limit of the current task is not about, such as another registry. Others may have its place meanwhile; then the task
 * takes one again, unless the wait was in vain. Not for work that tasks share: it would give back the place of the one that began it.
 * @throws the limit's error if there is no place
 */
export async function withoutPlace<T>(wait: () => Promise<T>): Promise<T> {
  const place = current.getStore();
  if (place?.isHeld !== true) return await wait();
  place.isHeld = false;
  place.limit.release();
  const result = await wait();
  await place.limit.acquire();
  place.isHeld = true;
  return result;
}
