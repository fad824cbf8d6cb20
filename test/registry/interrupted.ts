import type { ObjectStore } from '../../lib/storage/store.ts';

/** A store that does something else, once, before its call number `at` from 0. */
export function interrupted(
  store: ObjectStore,
  at: number,
  other: () => Promise<unknown>,
): { store: ObjectStore; happened: () => boolean } {
  let calls = 0;
  let happened = false;
  const proxy = new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (calls++ === at) {
          happened = true;
          await other();
        }
        return await (Reflect.apply(value, target, args) as Promise<unknown>);
      };
    },
  });
  return { store: proxy, happened: () => happened };
}
