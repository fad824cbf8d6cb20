/** Clients that hang up, at every byte of every request that writes something. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { usualLimits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { Client, descriptor, digestOf, imageType, manifest, withDigest } from '../functions/client.ts';
import { assertSound, assertSwept, everyObject } from '../functions/sound-bucket.ts';
import { freePort } from '../servers/ports.ts';
import type { TestStorage } from '../servers/storage.ts';
import { dial, head, pathOf } from './raw-http.ts';

const MiB = 1024 ** 2;
const name = 'team/app';

/** Reports the difference only. */
function assertSame(state: readonly string[], before: readonly string[]): void {
  const without = (some: readonly string[], others: readonly string[]) =>
    some.filter((one) => !others.includes(one));
  assert.deepEqual({ more: without(state, before), less: without(before, state) }, { more: [], less: [] });
}

/** Concurrent connections. */
const parallel = 32;

export function hangUps(openStorage: () => Promise<TestStorage>): void {
  describe('a client that hangs up', () => {
    let storage: TestStorage;
    let store: ObjectStore;
    let server: StreamingServer;
    let client: Client;
    let port: number;

    const start = async () => {
      const config = loadConfig('server', {
        ...storage.settings,
        REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`,
        REGISTRY_HTTP_SECRET: 'the secret of a test',
        REGISTRY_LOG_LEVEL: 'error',
        REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
      });
      server = await startServer('server', config, { ...usualLimits, lingerMs: 100 });
      client = new Client(server.url);
    };

    before(async () => {
      storage = await openStorage();
      store = await storage.open();
      port = await freePort();
      await start();
    });

    after(async () => {
      await server.stop();
      storage.remove();
    });

    /** All content including uploads in progress, once all requests have ended. */
    const settledState = async (): Promise<readonly string[]> => {
      await server.stop();
      await start();
      const objects = (await everyObject(store)).map(({ key, etag }) => `${key} ${etag}`);
      for (const prefix of ['uploads', 'blobs'])
        for await (const { key } of store.listMultiparts(`docker/registry/v2/${prefix}/`)) objects.push(key);
      return objects.sort();
    };

    /** Sends the beginning of a request and closes, or resets, the connection. */
    const breakOff = async (request: Buffer, bytes: number): Promise<void> => {
      const socket = await dial(server.url);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      if (bytes > 0) await new Promise((resolve) => socket.write(request.subarray(0, bytes), resolve));
      if (bytes % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
      await closed;
    };

    const breakOffAt = async (request: Buffer, places: readonly number[]): Promise<void> => {
      const left = [...places];
      const work = async () => {
        for (let place = left.pop(); place !== undefined; place = left.pop()) await breakOff(request, place);
      };
      await Promise.all(Array.from({ length: parallel }, work));
    };

    const everywhere = (request: Buffer) => Array.from({ length: request.length }, (_, i) => i);

    const whole = (
      method: string,
      path: string,
      body: Buffer = Buffer.alloc(0),
      ...headers: readonly string[]
    ) => Buffer.concat([Buffer.from(head(method, path, `Content-Length: ${body.length}`, ...headers)), body]);

    const chunked = (method: string, path: string, body: Buffer, ...headers: readonly string[]) =>
      Buffer.concat([
        Buffer.from(head(method, path, 'Transfer-Encoding: chunked', ...headers)),
        Buffer.from(`${body.length.toString(16)}\r\n`),
        body,
        Buffer.from('\r\n0\r\n\r\n'),
      ]);

    const sent = randomBytes(100);
    const bytes = randomBytes(60);
    const all = Buffer.concat([sent, bytes]);

    /** Each on an upload that has taken `sent` already. */
    const requests: Readonly<Record<string, (location: string) => Promise<Buffer>>> = {
      'a POST that starts an upload': async () =>
        await Promise.resolve(whole('POST', `/v2/${name}/blobs/uploads/`)),
      'a POST of a whole blob': async () =>
        await Promise.resolve(whole('POST', `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, bytes)),
      'a mount': async () => {
        const digest = await client.pushBlob('team/other', randomBytes(10));
        return whole('POST', `/v2/${name}/blobs/uploads/?mount=${digest}&from=team/other`);
      },
      'a PATCH with its length': async (location) =>
        await Promise.resolve(whole('PATCH', pathOf(location), bytes, 'Content-Range: 100-159')),
      'a PATCH as a stream': async (location) =>
        await Promise.resolve(chunked('PATCH', pathOf(location), bytes)),
      'a PUT with the last bytes': async (location) =>
        await Promise.resolve(whole('PUT', pathOf(withDigest(location, digestOf(all))), bytes)),
      'a PUT without a body': async (location) =>
        await Promise.resolve(whole('PUT', pathOf(withDigest(location, digestOf(sent))))),
      'a DELETE of an upload': async (location) => await Promise.resolve(whole('DELETE', pathOf(location))),
      'a PUT of a manifest': async () => {
        const config = randomBytes(20);
        await client.pushBlob(name, config);
        const body = manifest({ config: descriptor(config), layers: [] });
        return whole('PUT', `/v2/${name}/manifests/new`, body, `Content-Type: ${imageType}`);
      },
      'a DELETE of a manifest': async () => {
        const { digest } = await client.pushImage(name, 'v1');
        return whole('DELETE', `/v2/${name}/manifests/${digest}`);
      },
      'a DELETE of a tag': async () => {
        await client.pushImage(name, 'v2');
        return whole('DELETE', `/v2/${name}/manifests/v2`);
      },
      'a DELETE of a blob': async () =>
        await Promise.resolve(
          whole('DELETE', `/v2/${name}/blobs/${await client.pushBlob(name, randomBytes(9))}`),
        ),
    };

    for (const [what, make] of Object.entries(requests))
      it(`a client that hangs up at any byte of ${what} changes nothing and can continue the upload`, async () => {
        const location = await client.sendChunk(await client.startUpload(name), 0, sent);
        const request = await make(location);
        const before = await settledState();
        await breakOffAt(request, everywhere(request));
        assertSame(await settledState(), before);
        const status = await client.must(204, { method: 'GET', path: location });
        assert.equal(status.headers.range, '0-99');
        const next = await client.sendChunk(client.location(status), sent.length, bytes);
        await client.must(201, { method: 'PUT', path: withDigest(next, digestOf(all)) });
      });

    for (const [how, frame] of [
      ['with its length', whole],
      ['as a stream', chunked],
    ] as const)
      for (const [what, target] of [
        ['PATCH', (location: string) => pathOf(location)],
        ['PUT', (location: string, digest: string) => pathOf(withDigest(location, digest))],
      ] as const)
        it(`a client that hangs up between the parts of a ${what} ${how} leaves none of them`, async () => {
          const large = randomBytes(19 * MiB);
          const location = await client.startUpload(name);
          const request = frame(what, target(location, digestOf(large)), large);
          const before = await settledState();
          const begin = request.length - large.length;
          await breakOffAt(
            request,
            [1, 5 * MiB, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 12 * MiB, 16 * MiB, 19 * MiB - 1].map(
              (place) => begin + place - (frame === chunked ? 7 : 0),
            ),
          );
          assertSame(await settledState(), before);
          await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(large)), body: large });
        });

    it('a client that hangs up before the response can repeat its request', async () => {
      for (let i = 0; i < 20; i++) {
        const blob = randomBytes(1000);
        const path = pathOf(withDigest(await client.startUpload(name), digestOf(blob)));
        await breakOff(whole('PUT', path, blob), Infinity);
        await client.must(201, { method: 'PUT', path, body: blob });
      }
    });

    it('a client that hangs up in the middle of a download leaves nothing open', async () => {
      const digest = await client.pushBlob(name, randomBytes(16 * MiB));
      const open = () => readdirSync('/proc/self/fd').length;
      await settledState();
      const before = open();
      const request = Buffer.from(head('GET', `/v2/${name}/blobs/${digest}`));
      const download = async () => {
        const socket = await dial(server.url);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.write(request);
        await new Promise((resolve) => socket.once('data', resolve));
        socket.destroy();
        await closed;
      };
      for (let i = 0; i < 5; i++) await Promise.all(Array.from({ length: 10 }, download));
      await settledState();
      // Less than one for each of the 50; connections to a bucket stay open for a while.
      assert.ok(open() < before + 30, `${open()} files are open, after ${before}`);
    });

    it('clients that hang up harm nothing, and their abandoned uploads are purged', async () => {
      await assertSound(store);
      await assertSwept(store);
    });
  });
}
