import type { ObjectStore } from './store.ts';

/** The present by the clock that dates objects, as far as it is known, in milliseconds since 1970. */
export function storeTimeMs({ clockOffsetMs = 0 }: Pick<ObjectStore, 'clockOffsetMs'>): number {
  return Date.now() + clockOffsetMs;
}
