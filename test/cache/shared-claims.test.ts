import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClaimKeeper, SharedClaims } from '../../lib/cache/shared-claims.ts';

/** Workers with a primary process, whose messages arrive at once. */
function workers(count: number) {
  const keeper = new ClaimKeeper<SharedClaims>((worker, response) => {
    worker.receive(response);
  });
  const all: SharedClaims[] = Array.from({ length: count }, () => {
    const worker: SharedClaims = new SharedClaims((request) => {
      keeper.receive(worker, request);
    });
    return worker;
  });
  return { keeper, all };
}

const key = 'mirror/app@sha256:00';
const ignore = () => undefined;

/** Whether a promise has resolved by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const none = Symbol('none');
  await new Promise(setImmediate);
  return (await Promise.race([promise, Promise.resolve(none)])) !== none;
}

describe('claims of workers', () => {
  it('one copies, and the others wait in their order and learn the size', async () => {
    const { all } = workers(3);
    const first = await all[0]?.take(key, ignore);
    assert.equal(first?.hasWaited, false);
    const sizes: number[] = [];
    const second = all[1]?.take(key, (size) => sizes.push(size));
    first.opened(7);
    const third = all[2]?.take(key, (size) => sizes.push(size));
    assert.deepEqual(sizes, [7, 7]);
    assert.ok(second !== undefined && third !== undefined);
    assert.equal(await isSettled(second), false);
    first.end();
    assert.equal((await second).hasWaited, true);
    assert.equal(await isSettled(third), false);
    (await second).end();
    assert.equal((await third).hasWaited, true);
    (await third).end();
    // It is free again.
    assert.equal((await all[0]?.take(key, ignore))?.hasWaited, false);
  });

  it('other blobs have claims of their own', async () => {
    const { all } = workers(2);
    await all[0]?.take(key, ignore);
    assert.equal((await all[1]?.take(`${key}1`, ignore))?.hasWaited, false);
  });

  it('the claim of a worker that ends goes to another, and one that waits and ends gets none', async () => {
    const { keeper, all } = workers(3);
    const [one, two, three] = all;
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await one.take(key, ignore);
    const gone = two.take(key, ignore);
    const next = three.take(key, ignore);
    keeper.forget(two);
    keeper.forget(one);
    assert.equal((await next).hasWaited, true);
    assert.equal(await isSettled(gone), false);
    (await next).end();
    assert.equal((await one.take(key, ignore)).hasWaited, false);
  });
});
