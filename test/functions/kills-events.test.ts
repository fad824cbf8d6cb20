import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { deliveryLease, eventsPrefix } from '../../lib/registry/layout.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { receiver, type Receiver } from '../notifications/receiver.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { Client, descriptor, digestOf, manifest, type Ask } from './client.ts';

/** Of an event, as the receiver gets it. */
interface Event {
  readonly id: string;
  readonly action: string;
  readonly target: { readonly repository: string; readonly tag?: string; readonly digest?: string };
}

/** How long a process may take to tell of what it has written. */
const deliveredMs = 5_000;

describe('events of a registry that is killed', requires(...onVersitygw.needs), () => {
  let buckets: Buckets;
  let proxy: BucketProxy;
  let receiving: Receiver;

  before(async () => {
    [buckets, receiving] = await Promise.all([onVersitygw.start(), receiver()]);
    proxy = await bucketProxy(buckets.endpoint);
  });

  after(async () => {
    await proxy.stop();
    await Promise.all([buckets.stop(), receiving.stop()]);
  });

  const events = () =>
    receiving.received.flatMap(({ body }) => (JSON.parse(body) as { events: Event[] }).events);

  const settings = () => ({
    REGISTRY_HTTP_SECRET: 'the secret of a test, as any other',
    REGISTRY_LOG_LEVEL: 'error',
    // What cannot be seen is decided upon soon.
    REGISTRY_GC_FENCE: '5s',
    REGISTRY_GC_MARGIN: '0s',
    REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
      { name: 'test', url: receiving.url, privateaddresses: true },
    ]),
  });

  /** A request, what it makes visible, and its event. */
  interface Attempt {
    readonly ask: Ask;
    readonly isVisible: (client: Client) => Promise<boolean>;
    readonly isOf: (event: Event) => boolean;
  }

  /**
   * Sends a request to a process that is killed when it sends its k-th to the bucket, from 0: also when it tells of the write.
   * @returns whether it was all done without so many
   */
  async function killAt(victim: Stowage, k: number, { ask, isOf }: Attempt): Promise<boolean> {
    let killed: Promise<void> | undefined;
    proxy.reset();
    proxy.intercept = (_, index) => {
      if (index !== k) return killed === undefined ? 'pass' : 'drop-request';
      killed = victim.kill();
      return k === 0 ? 'drop-request' : 'pass';
    };
    await new Client(`http://${victim.address}`).send(ask).catch(() => undefined);
    for (let ms = 0; killed === undefined && !events().some(isOf) && ms < deliveredMs; ms += 50)
      await delay(50);
    // What it has told is deleted last.
    if (killed === undefined) await delay(500);
    await killed;
    await proxy.settled();
    proxy.reset();
    return killed === undefined;
  }

  async function pushed(client: Client, name: string): Promise<Attempt> {
    const [config, layer] = [randomBytes(40), randomBytes(50)];
    await client.pushBlob(name, config);
    await client.pushBlob(name, layer);
    const body = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    const path = `/v2/${name}/manifests/v1`;
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
    return {
      ask: { method: 'PUT', path, headers, body },
      isVisible: async (one) => (await one.send({ method: 'HEAD', path })).status === 200,
      isOf: ({ action, target }) => action === 'push' && target.repository === name && target.tag === 'v1',
    };
  }

  async function deleted(client: Client, name: string): Promise<Attempt> {
    const { ask } = await pushed(client, name);
    await client.must(201, ask);
    const path = `/v2/${name}/manifests/v1`;
    return {
      ask: { method: 'DELETE', path },
      isVisible: async (one) => (await one.send({ method: 'HEAD', path })).status === 404,
      isOf: ({ action, target }) => action === 'delete' && target.repository === name && target.tag === 'v1',
    };
  }

  async function pushedBlob(_: Client, name: string): Promise<Attempt> {
    await Promise.resolve();
    const body = randomBytes(1000);
    const digest = digestOf(body);
    return {
      ask: { method: 'POST', path: `/v2/${name}/blobs/uploads/?digest=${digest}`, body },
      isVisible: async (one) =>
        (await one.send({ method: 'HEAD', path: `/v2/${name}/blobs/${digest}` })).status === 200,
      isOf: ({ action, target }) =>
        action === 'push' && target.repository === name && target.digest === digest,
    };
  }

  async function refused(_: Client, name: string): Promise<Attempt> {
    await Promise.resolve();
    const [config, layer] = [randomBytes(40), randomBytes(50)];
    const body = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    const path = `/v2/${name}/manifests/v1`;
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
    return {
      ask: { method: 'PUT', path, headers, body },
      isVisible: async (one) => (await one.send({ method: 'HEAD', path })).status === 200,
      isOf: ({ target }) => target.repository === name,
    };
  }

  async function eventsAreGone(store: ObjectStore): Promise<boolean> {
    const { objects } = await store.list({ prefix: eventsPrefix });
    return objects.every(({ key }) => key === deliveryLease);
  }

  // A push of a manifest is killed at each of its requests, and others at some.
  const operations = {
    'a push': { prepare: pushed, every: 1 },
    'a delete': { prepare: deleted, every: 4 },
    'an upload': { prepare: pushedBlob, every: 4 },
    'a push that is refused': { prepare: refused, every: 4 },
  };

  for (const [i, [title, { prepare, every }]] of Object.entries(operations).entries())
    it(`are told once it runs again if what was written can be seen, and no others, for ${title}`, async () => {
      const storage = await buckets.newBucket();
      const store = await storage.open();
      const place = proxied(onVersitygw, storage, proxy);
      // Without endpoints.
      const survivor = await serve(storage.settings, {
        ...settings(),
        REGISTRY_NOTIFICATIONS_ENDPOINTS: '',
      });
      const client = new Client(`http://${survivor.address}`);
      const attempts: Attempt[] = [];
      let next = serve(place, settings());
      try {
        for (let [k, isOver] = [0, false]; !isOver; k += k === 0 ? 1 + (i % every) : every) {
          const attempt = await prepare(client, `team/app-${i}-${k}`);
          attempts.push(attempt);
          const victim = await next;
          await store.delete([deliveryLease]);
          isOver = await killAt(victim, k, attempt);
          if (isOver) await victim.stop();
          else next = serve(place, settings());
        }
        assert.ok(attempts.length > 1, 'nothing was killed');
        // Longer ago than any commit could land, and than the lease of a process that was killed.
        proxy.agedMs = 130_000;
        const last = await serve(place, settings());
        try {
          for (let ms = 0; !(await eventsAreGone(store)); ms += 100) {
            assert.ok(ms < 30_000, 'events are left');
            await delay(100);
          }
        } finally {
          await last.stop();
        }
        let visible = 0;
        for (const [k, { isVisible, isOf }] of attempts.entries()) {
          const ids = new Set(
            events()
              .filter(isOf)
              .map(({ id }) => id),
          );
          const isThere = await isVisible(client);
          assert.equal(ids.size, isThere ? 1 : 0, `killed at request ${k}: ${[...ids].join()}`);
          visible += Number(isThere);
        }
        assert.equal(visible > 0, prepare !== refused);
      } finally {
        await survivor.stop();
      }
    });
});
