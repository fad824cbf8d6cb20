import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digestFrom } from '../../../lib/protocol/digests.ts';
import { QuotaUses } from '../../../lib/registry/quotas/uses.ts';
import { intercepted } from '../interrupted.ts';
import { MemoryStore } from '../memory-store.ts';
import { digestOf, nameOf, QuotaProcess, rulesOf, some } from './quota-fixture.ts';

const rules = `quotas: [{ repositories: 'team/**', quota: 1 MB }]`;
const app = nameOf('team/app');
const free = nameOf('free/app');
const config = Buffer.from('{}');

/** A process, and what its bucket is asked while something is done. */
function counted(store = new MemoryStore({ conditionalWrites: true })) {
  const calls: string[] = [];
  const process = new QuotaProcess(
    intercepted(store, (method) => calls.push(method)),
    rules,
  );
  const asked = async (act: (process: QuotaProcess) => Promise<unknown>) => {
    calls.length = 0;
    await act(process);
    return calls.toSorted();
  };
  return { process, asked };
}

/** What is asked in addition with a quota. @param later whether something was pushed before */
async function added(act: (process: QuotaProcess, name: typeof app) => Promise<unknown>, later = false) {
  const { asked } = counted();
  if (later) for (const name of [app, free]) await asked(async (process) => await process.put(name, config));
  const without = await asked(async (process) => await act(process, free));
  const all = await asked(async (process) => await act(process, app));
  for (const call of without) {
    const at = all.indexOf(call);
    assert.notEqual(at, -1, call);
    all.splice(at, 1);
  }
  return all;
}

describe('requests of quotas', () => {
  it('are none for a repository without one', async () => {
    const { asked } = counted();
    const store = new MemoryStore({ conditionalWrites: true });
    const plain: string[] = [];
    const process = new QuotaProcess(
      intercepted(store, (method) => plain.push(method)),
      'quotas: []',
    );
    for (const act of [
      async (one: QuotaProcess) => await one.upload(free, Buffer.from('an upload')),
      async (one: QuotaProcess) => await one.put(free, Buffer.from('an upload in one request')),
      async (one: QuotaProcess) =>
        await one.manifest(free, 'latest', [digestOf(Buffer.from('an upload in one request'))]),
    ]) {
      plain.length = 0;
      await act(process);
      assert.deepEqual(await asked(act), plain.toSorted());
    }
  });

  it('are a list and a read in 30 s, and one write for each upload', async () => {
    const upload = async (process: QuotaProcess, name: typeof app) => await process.upload(name, some(10));
    assert.deepEqual(await added(upload), ['list', 'put', 'read']);
    assert.deepEqual(await added(upload, true), ['put']);
    const put = async (process: QuotaProcess, name: typeof app) => await process.put(name, some(10));
    assert.deepEqual(await added(put, true), ['put']);
    const manifest = async (process: QuotaProcess, name: typeof app) =>
      await process.manifest(name, 'latest', [digestOf(config)]);
    assert.deepEqual(await added(manifest, true), []);
    const { process, asked } = counted();
    await asked(async () => await upload(process, app));
    process.nowMs = 29_999;
    assert.deepEqual(await asked(async () => await process.used(app)), []);
    process.nowMs = 30_000;
    assert.deepEqual(await asked(async () => await process.used(app)), ['list', 'read']);
  });

  it('are one more for an upload of which another process has received the bytes', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const [one, two] = [counted(store), counted(store)];
    const bytes = some(10);
    const { uploads } = await one.process.of(app);
    const id = await uploads.start(app);
    const body = async function* () {
      yield await Promise.resolve(bytes);
    };
    await uploads.append(app, id, { body: body(), start: 0, length: 10, partial: false });
    const asked = await two.asked(async (process) => {
      await (await process.of(app)).uploads.finish(app, id, digestOf(bytes), undefined);
    });
    assert.equal(asked.filter((call) => call === 'read').length, 2);
  });

  it('list ten thousand uploads at most, and estimate more from these', async () => {
    const store = new MemoryStore();
    const [quota = assert.fail()] = rulesOf(rules).all;
    const uploads = 30_000;
    const uses = new QuotaUses(store);
    for (let i = 0; i < uploads; i++)
      await uses.record(quota.id, app, { digest: digestOf(Buffer.from(`${i}`)), size: 1000 });
    const { process, asked } = counted(store);
    let used: number | undefined;
    const calls = await asked(async () => (used = await process.used(app)));
    assert.deepEqual(calls, [...Array<string>(10).fill('list'), 'read']);
    const wrong = Math.abs((used ?? 0) / (uploads * 1000) - 1);
    assert.ok(wrong < 0.05, `${used}`);
  });

  it('are not misled by small blobs whose digests a client has chosen', async () => {
    const store = new MemoryStore();
    const [quota = assert.fail()] = rulesOf(rules).all;
    const uses = new QuotaUses(store);
    const [small, large] = [20_000, 1000];
    for (let i = 0; i < small; i++)
      await uses.record(quota.id, app, {
        digest: digestFrom('sha256', i.toString(16).padStart(64, '0')),
        size: 1,
      });
    for (let i = 0; i < large; i++)
      await uses.record(quota.id, app, {
        digest: digestFrom('sha256', i.toString(16).padStart(64, 'f')),
        size: 1_000_000,
      });
    const used = (await new QuotaProcess(store, rules).used(app)) ?? 0;
    assert.ok(Math.abs(used / (large * 1_000_000) - 1) < 0.25, `${used}`);
  });
});
