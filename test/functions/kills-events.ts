import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../lib/config/config.ts';
import { deliveryLease, eventsPrefix } from '../../lib/registry/layout.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { receiver, type Receiver } from '../notifications/receiver.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { freePort } from '../servers/ports.ts';
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

/** Of which requests each is killed. */
export interface Share {
  /** Of a push, every n-th; with 1 at each. */
  readonly push: number;
  /** Of the others. */
  readonly others: number;
}

/** Tests that a registry which is killed at requests to its bucket loses no event, and tells of nothing that did not happen. */
export function killsEvents(share: Share): void {
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
      const reply = await new Client(`http://${victim.address}`).send(ask).catch(() => undefined);
      const isMade = reply !== undefined && reply.status < 300;
      for (let ms = 0; isMade && killed === undefined && !events().some(isOf) && ms < deliveredMs; ms += 50)
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
      // A bucket tells times to the second: what is written in that of the delete may be newer.
      await delay(1_100);
      const path = `/v2/${name}/manifests/v1`;
      return {
        ask: { method: 'DELETE', path },
        isVisible: async (one) => (await one.send({ method: 'HEAD', path })).status === 404,
        isOf: ({ action, target }) =>
          action === 'delete' && target.repository === name && target.tag === 'v1',
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

    const operations = {
      'a push': { prepare: pushed, every: share.push },
      'a delete': { prepare: deleted, every: share.others },
      'an upload': { prepare: pushedBlob, every: share.others },
      'a push that is refused': { prepare: refused, every: share.others },
    };

    for (const [i, [title, { prepare, every }]] of Object.entries(operations).entries())
      it(`are told once it runs again if what was written can be seen, and no others, for ${title}`, async (test) => {
        // Each kill has a bucket of its own, so that nothing is left of those before.
        const start = async () => {
          const storage = await buckets.newBucket();
          const place = proxied(onVersitygw, storage, proxy);
          return { storage, place, victim: await serve(place, settings()) };
        };
        let [kills, visible] = [0, 0];
        let next = start();
        for (let [k, isOver] = [0, false]; !isOver; k += k === 0 ? 1 + (i % every) : every) {
          const { storage, place, victim } = await next;
          const quiet = await startHere({ ...storage.settings, REGISTRY_NOTIFICATIONS_ENDPOINTS: '' });
          try {
            const client = new Client(quiet.url);
            const attempt = await prepare(client, `team/app-${i}-${k}`);
            isOver = await killAt(victim, k, attempt);
            if (isOver) await victim.stop();
            else kills++;
            await tellOfTheRest(place, await storage.open());
            const ids = new Set(
              events()
                .filter(attempt.isOf)
                .map(({ id }) => id),
            );
            const isThere = await attempt.isVisible(client);
            assert.equal(ids.size, isThere ? 1 : 0, `killed at request ${k}: ${[...ids].join()}`);
            visible += Number(isThere);
          } finally {
            await victim.stop().catch(() => undefined);
            await quiet.stop();
          }
          if (!isOver) next = start();
        }
        test.diagnostic(`${kills} kills`);
        assert.ok(kills > 1, 'nothing was killed');
        assert.equal(visible > 0, prepare !== refused);
      });

    /** A registry that runs again, long after any commit could land, and after the lease of a process that was killed. */
    async function tellOfTheRest(place: Readonly<Record<string, string>>, store: ObjectStore): Promise<void> {
      proxy.agedMs = 130_000;
      const again = await startHere(place);
      try {
        for (let ms = 0; !(await eventsAreGone(store)); ms += 50) {
          assert.ok(ms < 20_000, 'events are left');
          await delay(50);
        }
      } finally {
        await again.stop();
        proxy.reset();
      }
    }

    async function startHere(more: Readonly<Record<string, string>>): Promise<StreamingServer> {
      const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, REGISTRY_HTTP_WORKERS: '1' };
      return await startServer('server', loadConfig('server', { ...settings(), ...address, ...more }));
    }
  });
}
