import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { freePort } from '../servers/ports.ts';
import { onSwift } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage } from '../servers/storage.ts';
import { swift } from '../servers/swift.ts';
import { Client, contentRange, digestOf, someName, withDigest, type Ask, type Reply } from './client.ts';
import { smallParts } from './kill-operations.ts';

const MiB = 1024 ** 2;

/** Sends a request and returns the answer that a client sees. */
type Send = (ask: Ask) => Promise<Reply>;

/** Pushes a blob; each request goes where the answer before says. */
type Push = (send: Send, name: string) => Promise<{ digest: string; bytes: Buffer }>;

const start = async (send: Send, name: string): Promise<string> =>
  locationOf(await send({ method: 'POST', path: `/v2/${name}/blobs/uploads/` }), 202);

function locationOf(reply: Reply, ...statuses: readonly number[]): string {
  assert.ok(statuses.includes(reply.status), `${reply.status}: ${reply.body.toString()}`);
  return new URL(reply.headers.location ?? assert.fail('no Location'), reply.url).href;
}

async function finish(send: Send, location: string, bytes: Buffer, body?: Buffer) {
  const digest = digestOf(bytes);
  const ask = { method: 'PUT', path: withDigest(location, digest), ...(body && { body }) };
  const reply = await send(ask);
  assert.equal(reply.status, 201, reply.body.toString());
  return { digest, bytes };
}

/** A chunk that has been taken already is refused, and the answer says where to go on. */
const pushes: Readonly<Record<string, Push>> = {
  'in chunks of which two make a part': async (send, name) => {
    const chunks = [randomBytes(3 * MiB), randomBytes(3 * MiB), randomBytes(1000)];
    let location = await start(send, name);
    let offset = 0;
    for (const body of chunks) {
      const headers = contentRange(offset, body);
      offset += body.length;
      const reply = await send({ method: 'PATCH', path: location, body, headers });
      location = locationOf(reply, 202, 416);
      assert.equal(reply.headers.range, `0-${offset - 1}`);
    }
    return await finish(send, location, Buffer.concat(chunks));
  },
  'as a stream, as docker does': async (send, name) => {
    const bytes = randomBytes(6 * MiB);
    const patch = { method: 'PATCH', path: await start(send, name), body: bytes, chunked: true };
    return await finish(send, locationOf(await send(patch), 202, 416), bytes);
  },
  'in a single PUT': async (send, name) => {
    const bytes = randomBytes(6 * MiB);
    return await finish(send, await start(send, name), bytes, bytes);
  },
};

/**
 * What befalls a request, and how many requests lie between two of those that are tried. What did not take effect is the
 * same to a client, however it did not.
 */
const mishaps: readonly (readonly [string, readonly Fate[], number])[] = [
  ['lost its answer', ['drop-answer'], 1],
  ['did not arrive, or was refused', ['drop-request', { status: 503, code: 'SlowDown' }], 3],
];

describe('a push to S3', requires('swift-proxy-server'), () => {
  let swiftServer: S3Server;
  let proxy: BucketProxy;
  let server: StreamingServer;
  let client: Client;

  before(async () => {
    swiftServer = await swift();
    proxy = await bucketProxy(swiftServer.endpoint);
    const { settings } = await bucketStorage(
      { ...swiftServer, endpoint: proxy.endpoint },
      smallParts(onSwift),
    );
    const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}` };
    server = await startServer(
      'server',
      loadConfig('server', { ...settings, ...address, REGISTRY_LOG_LEVEL: 'error' }),
    );
    client = new Client(server.url);
  });

  after(async () => {
    await server.stop();
    await proxy.stop();
    await swiftServer.stop();
  });

  const assertServed = async (name: string, { digest, bytes }: Awaited<ReturnType<Push>>): Promise<void> => {
    const reply = await client.must(307, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
    const blob = await client.must(200, { method: 'GET', path: reply.headers.location ?? '' });
    assert.ok(blob.body.equals(bytes), 'the bytes are others');
  };

  for (const [how, push] of Object.entries(pushes)) {
    it(`${how} succeeds if the response to any request is lost and the client repeats it`, async () => {
      const name = someName();
      const twice: Send = async (ask) => {
        await client.send(ask);
        return await client.send(ask);
      };
      await assertServed(name, await push(twice, name));
    });

    for (const [what, fates, every] of mishaps)
      it(`${how} succeeds if a request to the bucket ${what}`, async () => {
        const send: Send = async (ask) => await client.send(ask);
        let happened = true;
        let k = 0;
        for (; happened; k += every) {
          const name = someName();
          const fate = fates[k % fates.length] ?? 'pass';
          happened = false;
          proxy.reset();
          proxy.intercept = (_, index) => {
            happened ||= index === k;
            return index === k ? fate : 'pass';
          };
          const pushed = await push(send, name);
          proxy.reset();
          await assertServed(name, pushed);
        }
        assert.ok(k > 7, `there were only ${k - 1} requests`);
      });
  }
});
