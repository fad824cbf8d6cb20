import assert from 'node:assert/strict';
import { it } from 'node:test';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { QuotaCount } from '../../../lib/maintenance/quotas/quota-count.ts';
import { quotaPushesPrefix } from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { QuotaExceeded } from '../../../lib/registry/quotas/quota.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import { onStores } from '../on-stores.ts';
import { bodyOf, digestOf, nameOf, QuotaProcess, rulesOf, some, sum } from './quota-fixture.ts';

/** Asserts that a push is refused with these numbers. */
async function assertRefused(push: Promise<unknown>, used: number, added = 0): Promise<void> {
  await assert.rejects(push, (error: unknown) => {
    assert.ok(error instanceof QuotaExceeded, String(error));
    assert.equal(error.status, 403);
    const [entry] = error.errors;
    assert.equal(entry?.code, 'DENIED');
    const { used: told, added: adding = 0 } = entry.detail as { used: number; added?: number };
    assert.deepEqual([told, adding], [used, added]);
    return true;
  });
}

onStores('quotas', (store) => {
  let buckets = 0;
  /** Rules about repositories that no test has had before. */
  const rulesFor = (bytes: number) => {
    const team = `team${(buckets += 1)}`;
    return {
      rules: `quotas: [{ repositories: '${team}/**', quota: ${bytes} B }]`,
      app: nameOf(`${team}/app`),
      tool: nameOf(`${team}/tool`),
      other: nameOf(`other${buckets}/app`),
    };
  };
  const recordsOf = async (rules: string): Promise<string[]> => {
    const prefix = quotaPushesPrefix(rulesOf(rules).all[0]?.id ?? '');
    return (await Array.fromAsync(listObjects(store(), prefix))).map(({ key }) => key);
  };

  it('are counted from what is pushed, and refuse more with the numbers', async () => {
    const { rules, app, tool, other } = rulesFor(3000);
    const first = new QuotaProcess(store(), rules);
    await first.upload(app, some(1000));
    await first.put(tool, some(1500));
    // What it knows, and what another reads.
    for (const process of [first, new QuotaProcess(store(), rules)]) {
      assert.equal(await process.used(app), 2500);
      await assertRefused(process.put(app, some(501)), 2500, 501);
    }
    await first.put(app, some(500));
    await assertRefused(first.upload(tool, some(1)), 3000);
    await assertRefused(first.put(tool, some(1)), 3000, 1);
    await first.upload(other, some(5000));
    assert.equal(await first.used(other), undefined);
  });

  it('let an upload finish that has begun, and then refuse its manifest, but none that is there', async () => {
    const { rules, app } = rulesFor(3000);
    const process = new QuotaProcess(store(), rules);
    const config = await process.upload(app, some(10));
    const there = await process.manifest(app, 'first', [config]);
    const uploads = (await process.of(app)).uploads;
    const [one, two] = [await uploads.start(app), await uploads.start(app)];
    const layers = [await process.finish(app, one, some(2500)), await process.finish(app, two, some(2500))];
    await assertRefused(process.manifest(app, 'second', [config, ...layers]), 5010);
    // The same manifest again, under another tag.
    assert.deepEqual(await process.manifest(app, 'third', [config]), there);
  });

  it('take mounts between repositories with the same quota, and count others', async () => {
    const { rules, app, tool, other } = rulesFor(3000);
    const process = new QuotaProcess(store(), rules);
    const ours = await process.upload(app, some(3000));
    const theirs = await process.upload(other, some(3000));
    const small = await process.upload(other, some(100));
    const { blobs } = await process.of(tool);
    assert.equal((await blobs.mount(tool, ours, app))?.from, app);
    await assertRefused(blobs.mount(tool, theirs, other), 3000, 3000);
    await assertRefused(blobs.mountFromAnywhere(tool, theirs), 3000, 3000);
    assert.equal(await blobs.mount(tool, theirs, app), undefined);
    const roomy = new QuotaProcess(store(), rules.replace('3000', '4000'));
    const { blobs: more } = await roomy.of(tool);
    assert.equal((await more.mountFromAnywhere(tool, small))?.from, other);
    // It is there now, so it adds nothing.
    await process.of(tool);
    assert.equal((await more.mount(tool, small, other))?.size, 100);
    assert.equal(await roomy.used(tool), 3100);
    assert.equal(await roomy.used(other), undefined);
  });

  it('are what a look has summed, which frees what was deleted', async () => {
    const { rules, app, tool } = rulesFor(10_000);
    const process = new QuotaProcess(store(), rules);
    const bytes = some(1000);
    const config = await process.upload(app, bytes);
    // Two repositories with the same quota have it.
    await process.put(tool, bytes);
    const gone = await process.upload(app, some(2000));
    const manifest = await process.manifest(app, 'latest', [config, gone]);
    assert.equal(await process.used(app), 3000);
    assert.deepEqual(await sum(store(), rules), [3000 + manifest.byteLength]);
    assert.deepEqual(await recordsOf(rules), []);
    process.nowMs += 30_000;
    assert.equal(await process.used(app), 3000 + manifest.byteLength);
    await (await process.of(app)).blobs.delete(app, gone);
    await process.put(app, some(100));
    assert.deepEqual(await sum(store(), rules), [1100 + manifest.byteLength]);
    process.nowMs += 30_000;
    assert.equal(await process.used(app), 1100 + manifest.byteLength);
    assert.deepEqual(await recordsOf(rules), []);
  });

  it('count what was pushed while a look went on', async () => {
    const { rules, app } = rulesFor(10_000);
    const process = new QuotaProcess(store(), rules);
    await process.upload(app, some(1000));
    const count = await QuotaCount.begin(store(), rulesOf(rules));
    await look(store(), {}, count);
    await process.upload(app, some(500));
    await count.writeSums();
    assert.equal(await new QuotaProcess(store(), rules).used(app), 1500);
    // A look that began before another has ended does not undo what that has found.
    const late = await QuotaCount.begin(store(), rulesOf(rules));
    await look(store(), {}, late);
    await process.upload(app, some(300));
    assert.deepEqual(await sum(store(), rules), [1800]);
    await late.writeSums();
    assert.equal(await new QuotaProcess(store(), rules).used(app), 1800);
  });

  it('count a large manifest when it is pushed, and once', async () => {
    const { rules, app } = rulesFor(10_000_000);
    const process = new QuotaProcess(store(), rules);
    const { manifests } = await process.of(app);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const annotations = { large: 'x'.repeat(100_000) };
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [], annotations }));
    for (const tag of ['one', 'two'])
      await manifests.put(app, { kind: 'tag', tag: parseTag(tag) }, bytes, mediaType);
    assert.equal(await new QuotaProcess(store(), rules).used(app), bytes.byteLength);
    assert.deepEqual(await sum(store(), rules), [bytes.byteLength]);
    assert.equal(await new QuotaProcess(store(), rules).used(app), bytes.byteLength);
  });

  it('know the size of an upload that other processes have received', async () => {
    const { rules, app } = rulesFor(10_000);
    const [first, second] = [new QuotaProcess(store(), rules), new QuotaProcess(store(), rules)];
    const bytes = some(900);
    const [one, two] = [(await first.of(app)).uploads, (await second.of(app)).uploads];
    const id = await one.start(app);
    const part = (start: number, end: number) => ({
      body: bodyOf(bytes.subarray(start, end)),
      start,
      length: end - start,
      partial: true,
    });
    await one.append(app, id, part(0, 300));
    await two.append(app, id, part(300, 900));
    await one.finish(app, id, digestOf(bytes), undefined);
    // Too much until the next sum: what it knew as well.
    assert.equal(await new QuotaProcess(store(), rules).used(app), 1200);
    const other = some(700);
    const next = await one.start(app);
    await two.append(app, next, { ...part(0, 0), body: bodyOf(other), length: 700, partial: false });
    await one.finish(app, next, digestOf(other), undefined);
    assert.equal(await new QuotaProcess(store(), rules).used(app), 1900);
    assert.deepEqual(await sum(store(), rules), [1600]);
  });
});
