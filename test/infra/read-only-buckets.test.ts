import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from '../functions/client.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, proxied, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve } from '../servers/stowage.ts';
import { assertReads, pushContent, withoutIndex, writes } from './read-only-reads.ts';

const reading = ['GET', 'HEAD'];

for (const kind of [onSwift, onScs])
  describe(`a registry that may only read on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let proxy: BucketProxy;

    before(async () => {
      buckets = await kind.start();
      proxy = await bucketProxy(buckets.endpoint);
    });

    after(async () => {
      await proxy.stop();
      await buckets.stop();
    });

    it(`a registry with read access only serves every read on ${kind.name} and explains why it refuses writes`, async () => {
      const storage = await buckets.newBucket();
      const secret = { REGISTRY_HTTP_SECRET: 'the secret of a test' };
      const writer = await serve(storage.settings, secret);
      const content = await pushContent(`http://${writer.address}`);
      await writer.stop();
      await withoutIndex(await storage.open());
      proxy.intercept = ({ method }) =>
        reading.includes(method) ? 'pass' : { status: 403, code: 'AccessDenied' };
      for (const start of [serve, functions]) {
        const registry = await start(proxied(kind, storage, proxy), secret);
        const client = new Client(`http://${registry.address}`);
        try {
          await assertReads(client.base, content);
          for (const ask of writes(content)) await client.must(503, ask);
          await assertReads(client.base, content);
        } finally {
          await registry.stop();
        }
        const log = registry.output();
        // SCS is not asked for what it can do.
        if (start === serve && kind !== onScs)
          assert.match(log, /nothing can be written: what is there is served, but pushes and deletes fail/);
        assert.match(log, /access denied; the key/);
      }
    });
  });
