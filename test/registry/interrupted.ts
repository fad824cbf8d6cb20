import type { Fencing, ObjectStore } from '../../lib/storage/store.ts';

/**
 * A store that does something before each of its calls, and fails where that does.
 * @param before given the method, as `fencing.open` for those of its parts
 */
export function intercepted<S extends ObjectStore | Fencing>(
  store: S,
  before: (method: string, args: readonly unknown[]) => unknown,
): S {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property === 'fencing' && value !== undefined)
        return intercepted(value as Fencing, (method, args) => before(`fencing.${method}`, args));
      if (typeof value !== 'function') return value;
      if (property === 'readParts')
        return async function* (...args: unknown[]) {
          await before(property, args);
          yield* Reflect.apply(value, target, args) as AsyncIterable<unknown>;
        };
      return async (...args: unknown[]) => {
        await before(String(property), args);
        return await (Reflect.apply(value, target, args) as Promise<unknown>);
      };
    },
  });
}

/** A store that does something else, once, before its call number `at` from 0. */
export function interrupted(
  store: ObjectStore,
  at: number,
  other: () => Promise<unknown>,
): { store: ObjectStore; happened: () => boolean } {
  let calls = 0;
  let happened = false;
  const between = intercepted(store, async () => {
    if (calls++ !== at) return;
    happened = true;
    await other();
  });
  return { store: between, happened: () => happened };
}
