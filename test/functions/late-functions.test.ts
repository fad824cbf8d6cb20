/**
 * A function that has answered 503 for lateness is frozen, and goes on with what it was doing when the next request thaws it.
 * What others have done meanwhile must stay.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from 'aws-lambda';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { bucketProxy, type BucketProxy, type BucketRequest } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, proxied, type Buckets } from '../servers/buckets.ts';
import { startGateway } from '../servers/gateway.ts';
import { handlers } from '../servers/handlers.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { functions, type Stowage } from '../servers/stowage.ts';
import {
  Client,
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  withDigest,
  type Ask,
} from './client.ts';

const name = 'team/app';

/** Milliseconds of a request to the bucket before it is sent again. */
const attempt = 10_000;

/** What a late request does, what another client does after it was answered, and what must be there in the end. */
interface Late {
  readonly ask: Ask;
  readonly meanwhile: () => Promise<unknown>;
  readonly check: () => Promise<unknown>;
}

/** Whether a request to the bucket changes what clients see. */
function isVisible({ method, key, query }: BucketRequest): boolean {
  if (method === 'DELETE' || (method === 'POST' && query.has('delete'))) return true;
  return method === 'PUT' && /\/(current|_layers\/sha256\/[0-9a-f]+)\/link$/.test(key);
}

describe('functions past their deadline', { concurrency: true }, () => {
  for (const kind of [onSwift, onScs])
    describe(`on ${kind.name}`, requires(...kind.needs), () => {
      let buckets: Buckets;
      let proxy: BucketProxy;
      let late: Stowage;
      let server: StreamingServer;
      let client: Client;

      before(async () => {
        buckets = await kind.start();
        proxy = await bucketProxy(buckets.endpoint);
        const storage = await buckets.newBucket();
        const secret = { REGISTRY_HTTP_SECRET: 'the secret of a test', REGISTRY_LOG_LEVEL: 'error' };
        late = await functions(proxied(kind, storage, proxy), secret);
        const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}` };
        server = await startServer(
          'server',
          loadConfig('server', { ...storage.settings, ...secret, ...address }),
        );
        client = new Client(server.url);
      });

      after(async () => {
        await late.stop();
        await server.stop();
        await proxy.stop();
        await buckets.stop();
      });

      const image = (what: string): Buffer => manifest({ manifests: [], annotations: { what } }, indexType);
      const push = async (tag: string, bytes: Buffer): Promise<void> => {
        await client.pushManifest(name, tag, bytes, indexType);
      };
      const assertTag = async (tag: string, bytes: Buffer): Promise<void> => {
        const path = `/v2/${name}/manifests/${tag}`;
        const { body } = await client.must(200, { method: 'GET', path, headers: { accept: '*/*' } });
        assert.deepEqual(body, bytes);
      };

      async function prepare(): Promise<Late[]> {
        const [config, moved, unmounted] = [randomBytes(20), randomBytes(20), randomBytes(20)];
        for (const blob of [config, moved]) await client.pushBlob(name, blob);
        await client.pushBlob('team/other', unmounted);
        const [mine, newer] = [
          manifest({ config: descriptor(config), layers: [] }, imageType),
          image('what was pushed meanwhile'),
        ];
        for (const tag of ['moved', 'deleted']) await push(tag, image('what was there before'));
        const manifests = `/v2/${name}/manifests`;
        const blobs = `/v2/${name}/blobs`;
        const mounted = `${blobs}/${digestOf(unmounted)}`;
        const again = async (tag: string) => {
          await push(tag, newer);
        };
        return [
          {
            ask: {
              method: 'PUT',
              path: `${manifests}/moved`,
              headers: { 'content-type': imageType },
              body: mine,
            },
            meanwhile: async () => {
              await again('moved');
            },
            check: async () => {
              await assertTag('moved', newer);
            },
          },
          {
            ask: { method: 'DELETE', path: `${manifests}/deleted` },
            meanwhile: async () => {
              await again('deleted');
            },
            check: async () => {
              await assertTag('deleted', newer);
            },
          },
          {
            ask: { method: 'DELETE', path: `${blobs}/${digestOf(moved)}` },
            meanwhile: async () => await client.pushBlob(name, moved),
            check: async () =>
              await client.must(200, { method: 'HEAD', path: `${blobs}/${digestOf(moved)}` }),
          },
          {
            ask: { method: 'POST', path: `${blobs}/uploads/?mount=${digestOf(unmounted)}&from=team/other` },
            // As after another instance has mounted it.
            meanwhile: async () => {
              await client.pushBlob(name, unmounted);
              await client.must(202, { method: 'DELETE', path: mounted });
            },
            check: async () => await client.must(404, { method: 'HEAD', path: mounted }),
          },
        ];
      }

      it(`functions past their deadline change nothing on ${kind.name} when they continue`, async () => {
        const all = await prepare();
        // The first requests of an instance ask more.
        await new Client(`http://${late.address}`).must(200, {
          method: 'HEAD',
          path: `/v2/${name}/manifests/moved`,
        });
        const began = performance.now();
        const arrived: BucketRequest[] = [];
        // What is read twice in vain lets the first attempt at each change fall into the time of the answer.
        proxy.intercept = (request) => {
          if (isVisible(request)) arrived.push(request);
          return isVisible(request) || performance.now() - began < 1.9 * attempt ? 'stall' : 'pass';
        };
        const slow = new Client(`http://${late.address}`);
        const replies = await Promise.all(all.map(async ({ ask }) => await slow.send(ask)));
        for (const [i, { status, body }] of replies.entries())
          assert.equal(status, 503, `${all[i]?.ask.path}: ${body.toString()}`);
        process.kill(late.pid, 'SIGSTOP');
        // Else they were not about to change anything.
        assert.ok(arrived.length >= all.length, `${arrived.length} attempts at a change`);
        for (const { meanwhile } of all) await meanwhile();
        // Until the next attempts are due.
        await delay(Math.max(0, began + 3.3 * attempt - performance.now()));
        arrived.length = 0;
        proxy.intercept = (request) => {
          if (isVisible(request)) arrived.push(request);
          return 'pass';
        };
        process.kill(late.pid, 'SIGCONT');
        await slow.must(200, { method: 'GET', path: '/v2/' });
        await delay(2_000);
        await proxy.settled();
        assert.deepEqual(
          arrived.map(({ method, key }) => `${method} ${key}`),
          [],
        );
        for (const { check } of all) await check();
      });
    });

  it('functions past their deadline end an upload', async () => {
    const buckets = await onScs.start();
    const proxy = await bucketProxy(buckets.endpoint);
    const bucket = await buckets.newBucket();
    const secret = { REGISTRY_HTTP_SECRET: 'the secret of a test', REGISTRY_LOG_LEVEL: 'error' };
    Object.assign(process.env, proxied(onScs, bucket, proxy), secret);
    const context = { getRemainingTimeInMillis: () => 1_500 } as Context;
    const gateway = await startGateway({
      uploads: async (event) => await handlers.uploads(event, context),
    });
    const client = new Client(gateway.url);
    const bytes = randomBytes(100);
    const location = await client.sendChunk(await client.startUpload(name), 0, bytes);
    const arrived: string[] = [];
    let isFrozen = false;
    proxy.intercept = (request) => {
      if (isFrozen && isVisible(request)) arrived.push(request.key);
      return !isFrozen && isVisible(request) ? 'stall' : 'pass';
    };
    const reply = await client.must(503, { method: 'PUT', path: withDigest(location, digestOf(bytes)) });
    assert.match(reply.body.toString(), /too slowly/);
    isFrozen = true;
    await delay(1.2 * attempt);
    assert.deepEqual(arrived, []);
    await gateway.stop();
    await proxy.stop();
    await buckets.stop();
  });
});
