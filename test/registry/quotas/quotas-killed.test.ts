import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { intercepted } from '../interrupted.ts';
import { MemoryStore } from '../memory-store.ts';
import { nameOf, QuotaProcess, some, sum } from './quota-fixture.ts';

const rules = `quotas: [{ repositories: 'team/**', quota: 1 MB }]`;
const app = nameOf('team/app');
const other = nameOf('other/app');

class Killed extends Error {}

/** A store whose process dies before its call number `at`: nothing of it comes after. */
function dyingAt(store: MemoryStore, at: number) {
  let calls = 0;
  const dying = intercepted(store, () => {
    if (calls++ >= at) throw new Killed();
  });
  return { dying, isDead: () => calls > at };
}

/** Kills a process before each of its calls in turn. @param act on a new bucket each time */
async function killAtEach(act: (at: number) => Promise<boolean>): Promise<number> {
  let at = 0;
  while (await act(at)) at += 1;
  return at;
}

const until = async (work: Promise<unknown>) => {
  await work.catch((error: unknown) => {
    for (let cause = error; cause !== undefined; cause = (cause as Error).cause)
      if (cause instanceof Killed) return;
    throw error;
  });
};

describe('quotas after a kill', () => {
  for (const [what, push] of [
    ['an upload', async (process: QuotaProcess) => await process.upload(app, some(5000))],
    ['an upload in one request', async (process: QuotaProcess) => await process.put(app, some(5000))],
  ] as const)
    it(`count at least what there is, and what there is after a look: ${what}`, async () => {
      const kills = await killAtEach(async (at) => {
        const store = new MemoryStore({ conditionalWrites: true });
        const { dying, isDead } = dyingAt(store, at);
        await until(push(new QuotaProcess(dying, rules)));
        const counted = (await new QuotaProcess(store, rules).used(app)) ?? 0;
        const [there = 0] = await sum(store, rules);
        assert.ok(counted >= there, `killed at ${at}: ${counted} bytes are counted of ${there}`);
        return isDead();
      });
      assert.ok(kills > 5, `${kills}`);
    });

  it('count at least what there is: a mount from elsewhere', async () => {
    const kills = await killAtEach(async (at) => {
      const store = new MemoryStore({ conditionalWrites: true });
      const digest = await new QuotaProcess(store, rules).upload(other, some(5000));
      const { dying, isDead } = dyingAt(store, at);
      const process = new QuotaProcess(dying, rules);
      await until(process.of(app).then(async ({ blobs }) => await blobs.mount(app, digest, other)));
      const counted = (await new QuotaProcess(store, rules).used(app)) ?? 0;
      const [there = 0] = await sum(store, rules);
      assert.ok(counted >= there, `killed at ${at}: ${counted} bytes are counted of ${there}`);
      return isDead();
    });
    assert.ok(kills > 3, `${kills}`);
  });

  it('count at least what there is while sums are kept, and exactly that after the next look', async () => {
    const kills = await killAtEach(async (at) => {
      const store = new MemoryStore({ conditionalWrites: true });
      const process = new QuotaProcess(store, rules);
      await process.put(app, some(5000));
      await sum(store, rules);
      await process.put(app, some(3000));
      const { dying, isDead } = dyingAt(store, at);
      await until(sum(dying, rules));
      const counted = (await new QuotaProcess(store, rules).used(app)) ?? 0;
      assert.ok(counted === 8000 || counted === 11_000, `killed at ${at}: ${counted}`);
      assert.deepEqual(await sum(store, rules), [8000]);
      assert.equal(await new QuotaProcess(store, rules).used(app), 8000);
      return isDead();
    });
    assert.ok(kills > 5, `${kills}`);
  });
});
