import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runStowage } from '../infra/run-node.ts';
import { collectedKinds, keysIn, pause, shortFence, unitMs } from '../maintenance/collection/collecting.ts';
import { fill, type Filled } from '../maintenance/collection/filled-bucket.ts';
import { onScs, onSwift } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import type { TestStorage } from '../servers/storage.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';

/** Seconds between the runs of a test, instead of a day. */
const delay = { REGISTRY_GC_DELAY: '6s' };

async function bytesOfBlobs(store: ObjectStore): Promise<number> {
  const blobs = await Array.fromAsync(listObjects(store, 'docker/registry/v2/blobs/'));
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

for (const kind of collectedKinds)
  describe(`stowage gc on ${kind.name}`, requires(...kind.needs), () => {
    let stop: () => unknown;
    let storage: TestStorage;
    let store: ObjectStore;
    let registry: Stowage;
    let filled: Filled;

    before(async () => {
      const buckets = await kind.start();
      stop = async () => {
        await buckets.stop();
      };
      storage = await buckets.newBucket({ ...shortFence, ...delay });
      store = await storage.open();
      filled = await fill(store);
      registry = await serve(storage.settings, { ...shortFence, ...delay });
      await pause(unitMs);
    });

    after(async () => {
      await registry.stop();
      storage.remove();
      await stop();
    });

    const gc = async (...args: string[]) =>
      await runStowage(['gc', '--exclusive', '--delete-untagged', '--older-than=0h', ...args], {
        ...storage.settings,
        ...shortFence,
        ...delay,
      });

    it('frees what a deleted tag held: says what and when, and then why the bucket is smaller', async () => {
      const response = await fetch(`http://${registry.address}/v2/app/refs/manifests/v2`, {
        method: 'DELETE',
      });
      assert.equal(response.status, 202);
      const before = await bytesOfBlobs(store);

      const first = await gc();
      // A repository of it is damaged.
      assert.equal(first.code, 1, first.errors);
      const [, repository] = /^app\/refs: (.*)$/m.exec(first.output) ?? [];
      assert.match(repository ?? '', /^8 manifests, \d+ links, /);
      const condemned =
        /^condemned: (\S+ \S+) of \S+ \S+, in (\d+) of \d+ blobs, with (.*) of \d+ repositories$/m.exec(
          first.output,
        );
      assert.ok(condemned !== null, first.output);
      const mayGo = /may go from (\S+) \(in \d+s\): run stowage gc again then\./;
      const [, when = ''] = mayGo.exec(first.output) ?? [];
      assert.equal(await bytesOfBlobs(store), before);

      const early = await gc();
      const [, later = ''] = mayGo.exec(early.output) ?? [];
      // Both runs compute it from the bucket's clock, which S3 tells in whole seconds.
      assert.ok(Math.abs(Date.parse(later) - Date.parse(when)) <= 2000, `${when}, then: ${early.output}`);
      assert.equal(await bytesOfBlobs(store), before);

      await pause(Math.max(0, Date.parse(when) - Date.now()) + 1000);
      const second = await gc('--json');
      const { deleted, left, completed } = JSON.parse(second.output) as {
        deleted: Record<string, number>;
        left: object;
        completed: string[];
      };
      assert.deepEqual(left, { needed: 0, renewed: 0, held: 0, rescued: 0 });
      assert.equal(completed.length, 1);
      assert.equal(deleted['blobs'], Number(condemned[2]));
      assert.equal(await bytesOfBlobs(store), before - (deleted['bytes'] ?? 0));
      assert.equal(
        `${deleted['manifests']} manifests and ${deleted['links']} links of ${deleted['repositories']}`,
        condemned[3],
      );
      assert.ok((deleted['bytes'] ?? 0) > filled.bucket.sizeOf(...filled.untagged.freed));
      assert.deepEqual(
        (await keysIn(store)).filter((key) => key.includes('/gc/') && !key.includes('/gc/references/')),
        [],
      );
      const kept = await fetch(`http://${registry.address}/v2/app/multi/manifests/latest`);
      assert.equal(kept.status, 200);
    });

    it('does not start beside a run that was active in the last minutes, unless it is told to', async () => {
      await store.put('docker/registry/v2/gc/running', Buffer.from(''));
      const { code, errors } = await gc();
      assert.match(errors, /another collection was active \d+ s ago; wait until it is over, or add --force/);
      assert.equal(code, 1);
      assert.match((await gc('--force')).output, /^Nothing is to be deleted\.$/m);
    });
  });

describe('stowage gc refuses to delete', () => {
  for (const [kind, reason] of [
    [onScs, /whether its listings lag behind writes/],
    [onSwift, /the listings of Swift lag behind writes/],
  ] as const)
    it(`on ${kind.name}, and says why`, requires(...kind.needs), async () => {
      const buckets = await kind.start();
      try {
        const storage = await buckets.newBucket();
        const store = await storage.open();
        await fill(store);
        const before = await keysIn(store);
        const { code, errors } = await runStowage(['gc', '--exclusive', '--older-than=0h'], storage.settings);
        assert.match(errors, reason);
        assert.match(errors, /stowage gc --dry-run shows what could be freed/);
        assert.equal(code, 1);
        assert.deepEqual(await keysIn(store), before);
      } finally {
        await buckets.stop();
      }
    });
});
