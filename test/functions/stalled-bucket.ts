/** A bucket that takes requests and does not answer them. A gateway waits for 30 s, and then says something of its own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { proxied, type BucketKind, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import type { TestStorage } from '../servers/storage.ts';
import { Client, digestOf, withDigest, type Ask } from './client.ts';
import { killOperations } from './kill-operations.ts';
import { startPlanes, type Planes } from './planes.ts';
import { readOperations } from './read-operations.ts';
import { assertSound } from './sound-bucket.ts';

/** Once in a process. */
export function stalledBucket(kind: BucketKind): void {
  describe(`functions on ${kind.name} that does not answer`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let proxy: BucketProxy;
    let storage: TestStorage;
    let planes: Planes;
    let client: Client;
    let other: Client;

    before(async () => {
      buckets = await kind.start();
      proxy = await bucketProxy(buckets.endpoint);
      storage = await buckets.newBucket();
      planes = await startPlanes({}, { ...storage, settings: proxied(kind, storage, proxy) });
      client = new Client(planes.gateway, (location) => location.replace(planes.dataPlane, planes.gateway));
      // What comes before may be too large for functions.
      other = new Client(planes.server);
      // The first request of a function may ask more of the bucket than later ones.
      for (const { prepare } of readOperations)
        await client.send((await (await prepare(other, 'warm/up'))()).ask);
    });

    after(async () => {
      await planes.stop();
      await proxy.stop();
      await buckets.stop();
    });

    const assertUnavailable = async (ask: Ask): Promise<void> => {
      const { status, headers, body } = await client.send(ask);
      assert.equal(status, 503, `${ask.method} ${ask.path}: ${body.toString()}`);
      assert.equal(
        headers['content-type'],
        'application/json',
        `${ask.method} ${ask.path}: ${body.toString()}`,
      );
      if (ask.method !== 'HEAD') assert.match(body.toString(), /"code":"UNAVAILABLE"/);
    };

    it(`functions on a stalled ${kind.name} answer 503 before the gateway does, except for uploads`, async () => {
      const asks: Ask[] = [];
      for (const [i, { prepare }] of readOperations.entries())
        asks.push((await (await prepare(other, `read/app-${i}`))()).ask);
      for (const [i, { title, prepare }] of killOperations('functions').entries())
        if (!/PATCH|PUT after|PUT of \d+|PUT with|POST of \d+/.test(title))
          asks.push((await prepare(other, `write/app-${i}`)).ask);
      assert.ok(asks.length > 20);
      proxy.intercept = () => 'stall';
      await Promise.all(asks.map(assertUnavailable));
      proxy.reset();
      await assertSound(await storage.open());
    });

    it(`functions on a stalled ${kind.name} finish an upload after the gateway timed out, and a retry finds it`, async () => {
      const bytes = randomBytes(1000);
      const location = await client.sendChunk(await client.startUpload('late/app'), 0, bytes);
      const ask = { method: 'PUT', path: withDigest(location, digestOf(bytes)) };
      const seen = new Set<string>();
      proxy.reset();
      // The first attempt at each request stalls.
      proxy.intercept = ({ operation, key }) => {
        const isFirst = !seen.has(`${operation} ${key}`);
        seen.add(`${operation} ${key}`);
        return isFirst ? 'stall' : 'pass';
      };
      const late = await client.must(503, ask);
      assert.match(late.body.toString(), /Service Unavailable/);
      const before = proxy.requests.length;
      await proxy.settled();
      while (proxy.requests.length === before) await new Promise((resolve) => setTimeout(resolve, 100));
      await proxy.settled();
      proxy.reset();
      await client.must(201, ask);
      await client.must(200, { method: 'HEAD', path: `/v2/late/app/blobs/${digestOf(bytes)}` });
    });
  });
}
