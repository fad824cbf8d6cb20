import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { intercepted } from '../interrupted.ts';
import { onStores } from '../on-stores.ts';
import { Deliveries } from './deliveries.ts';
import { prepared, writes, type Prepare } from './writes.ts';

/** Thrown by every call of a store after its process was killed. */
class Killed extends Error {}

/** The store of a process that is killed after its call number `at` from 0, before any answer. */
function killed(store: ObjectStore, at: number) {
  let calls = 0;
  let isDead = false;
  const own: ObjectStore = intercepted(store, async (method, args) => {
    if (isDead) throw new Killed();
    if (calls++ !== at) return;
    isDead = true;
    await call(store, method, args);
    throw new Killed();
  });
  return { store: own, wasKilled: () => isDead };
}

async function call(store: ObjectStore, method: string, args: readonly unknown[]): Promise<void> {
  const [target, name] = method.startsWith('fencing.')
    ? [store.fencing, method.slice('fencing.'.length)]
    : [store, method];
  const value: unknown = target && Reflect.get(target, name);
  if (typeof value === 'function') await (Reflect.apply(value, target, args) as Promise<unknown>);
}

/** @returns whether there was a call with this number */
async function killAt(store: ObjectStore, prepare: Prepare, at: number): Promise<boolean> {
  const write = await prepared(prepare, store);
  const process = killed(store, at);
  const outcome: unknown = await write.make(process.store).then(
    () => 'done',
    (error: unknown) => error,
  );
  const when = `killed after call ${at}: ${String(outcome)}`;
  if (!process.wasKilled()) assert.equal(outcome, 'done', when);
  const deliveries = new Deliveries(store);
  await deliveries.look();
  await deliveries.lookLater();
  assert.deepEqual(deliveries.summaries.toSorted(), (await write.seen()).toSorted(), when);
  return process.wasKilled();
}

onStores('a process that is killed at any step', (store, kind) => {
  // Elsewhere each call takes long, and lists have times of whole seconds, but those of MinIO: a delete right after a push is unclear then.
  const some =
    kind === 'a folder'
      ? writes
      : pick(
          'a push by tag',
          'the end of an upload',
          ...(kind === 'MinIO' ? ['a delete of a manifest'] : []),
        );
  for (const [what, prepare] of Object.entries(some))
    it(`${what} has its event if it can be seen, and none otherwise`, async () => {
      let at = 0;
      while (await killAt(store(), prepare, at)) at += 1;
      assert.ok(at > 3, `${at} calls`);
    });
});

function pick(...names: readonly string[]): Readonly<Record<string, Prepare>> {
  return Object.fromEntries(Object.entries(writes).filter(([name]) => names.includes(name)));
}
