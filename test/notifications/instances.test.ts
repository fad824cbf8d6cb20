import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../functions/client.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { receiver, type Receiver } from './receiver.ts';

interface Event {
  readonly id: string;
  readonly target: { readonly digest: string; readonly tag?: string };
}

/** Long before anything is decided because of its age. */
const soonMs = 60_000;

describe('two servers on one bucket', requires(...onVersitygw.needs), () => {
  let buckets: Buckets;
  let proxy: BucketProxy;
  let receiving: Receiver;
  let servers: readonly Stowage[];
  let clients: readonly Client[];

  before(async () => {
    buckets = await onVersitygw.start();
    [proxy, receiving] = await Promise.all([bucketProxy(buckets.endpoint), receiver()]);
    const place = proxied(onVersitygw, await buckets.newBucket(), proxy);
    servers = await Promise.all([serve(place, settings()), serve(place, settings())]);
    clients = servers.map(({ address }) => new Client(`http://${address}`));
  });

  after(async () => {
    await Promise.all(
      servers.map(async (server) => {
        await server.stop();
      }),
    );
    await Promise.all([proxy.stop(), receiving.stop()]);
    await buckets.stop();
  });

  const settings = () => ({
    REGISTRY_HTTP_SECRET: 'the secret of a test, as any other',
    REGISTRY_LOG_LEVEL: 'error',
    REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
      {
        name: 'test',
        url: receiving.url,
        privateaddresses: true,
        ignoredmediatypes: ['application/octet-stream'],
      },
    ]),
  });

  const events = () =>
    receiving.received.flatMap(({ body }) => (JSON.parse(body) as { events: Event[] }).events);
  const told = () => events().map(({ target }) => `${target.tag ?? ''} ${target.digest}`);

  async function untilTold(pushes: readonly string[], withinMs = soonMs): Promise<void> {
    for (let ms = 0; !pushes.every((push) => told().includes(push)); ms += 50) {
      const missing = pushes.filter((push) => !told().includes(push));
      assert.ok(ms < withinMs, `of ${pushes.length} events ${missing.length} are missing: ${missing.join()}`);
      await delay(50);
    }
  }

  async function push(client: Client | undefined, tag: string): Promise<string> {
    const { digest } = (await client?.pushImage('team/app', tag)) ?? assert.fail();
    return `${tag} ${digest}`;
  }

  it('tell of each push once, in order and soon, also of those of one tag', async () => {
    const pushes: string[] = [];
    for (let i = 0; i < 6; i++) pushes.push(await push(clients[i % 2], 'latest'));
    await untilTold(pushes);
    assert.deepEqual(told(), pushes);
    const together = Array.from({ length: 20 }, async (_, i) => await push(clients[i % 2], `v${i % 5}`));
    const atOnce = await Promise.all(together);
    await untilTold(atOnce);
    assert.deepEqual(told().slice(pushes.length).toSorted(), atOnce.toSorted());
    const ids = events().map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('lose no event if one is killed while it delivers', async () => {
    // Whichever it is, some deliveries are in progress.
    receiving.answer((response) => setTimeout(() => response.end(), 30));
    const answered: string[] = [];
    const [victim, ...others] = servers;
    const push20 = async (client: Client | undefined, name: string) => {
      for (let i = 0; i < 20; i++) answered.push(await push(client, `${name}-${i}`));
    };
    const pushing = [push20(clients[1], 'other'), push20(clients[0], 'killed').catch(() => undefined)];
    const before = answered.length;
    while (answered.length < before + 10) await delay(20);
    await victim?.kill();
    await Promise.all(pushing);
    assert.ok(answered.length < 40, 'it was killed too late');
    // The lease of one that died has expired.
    proxy.agedMs = 130_000;
    await untilTold(answered, 60_000);
    const tags = (
      await new Client(`http://${others[0]?.address ?? ''}`).must(200, {
        method: 'GET',
        path: '/v2/team/app/tags/list',
      })
    ).body.toString();
    const seen = (JSON.parse(tags) as { tags: string[] }).tags.filter((tag) => tag.startsWith('killed'));
    const toldTags = new Set(told().map((one) => one.split(' ')[0] ?? ''));
    assert.deepEqual(
      seen.filter((tag) => !toldTags.has(tag)),
      [],
    );
  });

  it('know what their workers have pushed, also where others have removed its traces', async () => {
    const { settings: place } = await buckets.newBucket();
    // One request each, in turn.
    const server = await serve(place, { ...settings(), REGISTRY_HTTP_WORKERS: '2' });
    try {
      const client = new Client(`http://${server.address}`);
      for (let i = 0; i < 2; i++) {
        // While it waits for this answer, it does not look at the pushes after it.
        receiving.answer((response) => setTimeout(() => response.end(), 1_000));
        const pushes = [await push(client, 'first')];
        await untilTold(pushes);
        const { bytes, digest } = await client.pushImage('team/app', 'latest');
        await client.pushManifest('team/app', 'v1', bytes);
        pushes.push(`latest ${digest}`, `v1 ${digest}`, await push(client, 'latest'));
        receiving.answer((response) => response.end());
        await untilTold(pushes);
      }
    } finally {
      await server.stop();
    }
  });
});
