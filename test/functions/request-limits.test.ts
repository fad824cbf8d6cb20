/** More requests than the concurrency limit, with a bucket that stalls for a while. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { usualLimits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { dial, head } from '../infra/raw-http.ts';
import { freePort } from '../servers/ports.ts';
import { Client, digestOf } from './client.ts';

const emptyList =
  '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><KeyCount>0</KeyCount>' +
  '<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>';

/** An empty bucket that responds on demand. */
class StalledBucket {
  readonly #server: Server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    this.waiting.push([request, response]);
    if (!this.isStalled) this.answer();
  });
  /** All that it was ever asked for. */
  readonly asked: string[] = [];
  readonly waiting: [IncomingMessage, ServerResponse][] = [];
  isStalled = false;

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  answer(): void {
    for (const [{ url = '' }, response] of this.waiting.splice(0)) {
      const isList = url.includes('list-type=2');
      response.writeHead(isList ? 200 : 404, { 'content-type': 'application/xml' });
      response.end(isList ? emptyList : '<Error><Code>NoSuchKey</Code></Error>');
    }
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('a registry whose bucket stalls', () => {
  const bucket = new StalledBucket();
  let server: StreamingServer;
  let client: Client;

  before(async () => {
    const config = loadConfig('server', {
      REGISTRY_STORAGE_S3_BUCKET: 'bucket',
      REGISTRY_STORAGE_S3_REGIONENDPOINT: await bucket.start(),
      REGISTRY_STORAGE_S3_ACCESSKEY: 'key',
      REGISTRY_STORAGE_S3_SECRETKEY: 'secret of a test',
      REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'false',
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_LOG_LEVEL: 'error',
    });
    const few = { atOnce: 4, waiting: 6 };
    const requests = { lookups: { atOnce: 8, waiting: 12 }, lists: few, referrers: { ...few, atOnce: 2 } };
    server = await startServer('server', config, { ...usualLimits, requests });
    client = new Client(server.url);
    bucket.isStalled = true;
  });

  beforeEach(() => {
    bucket.answer();
  });

  after(async () => {
    bucket.isStalled = false;
    bucket.answer();
    await server.stop();
    bucket.stop();
  });

  const until = async (condition: () => boolean) => {
    for (let tries = 0; tries < 500 && !condition(); tries++) await delay(10);
    assert.ok(condition());
  };

  const digest = digestOf(Buffer.from('nobody'));
  for (const [what, path, atOnce, queued] of [
    ['lists', '/v2/some/app/tags/list', 4, 6],
    ['referrers', `/v2/some/app/referrers/${digest}`, 2, 6],
    ['lookups', '/v2/some/app/manifests/v1', 8, 12],
  ] as const)
    it(`handles ${atOnce} ${what}, queues ${queued}, and answers 503 to the others at once`, async () => {
      const statuses: number[] = [];
      const ask = async () => {
        const { status, headers } = await client.send({ method: 'GET', path });
        statuses.push(status);
        if (status === 503) assert.equal(headers['retry-after'], '5');
      };
      const asked = Array.from({ length: atOnce + queued + 5 }, ask);
      await until(() => statuses.length === 5);
      assert.deepEqual(new Set(statuses), new Set([503]));
      // What has no need of the bucket is answered all the while.
      await client.must(200, { method: 'GET', path: '/v2/' });
      bucket.isStalled = false;
      bucket.answer();
      await Promise.all(asked);
      bucket.isStalled = true;
      const answered = statuses.slice(5);
      assert.equal(answered.length, atOnce + queued);
      assert.ok(answered.every((status) => status === 200 || status === 404));
    });

  it('makes no bucket requests for queued clients that have disconnected', async () => {
    const list = (name: string) => `/v2/${name}/tags/list`;
    const ask = async (name: string) => await client.must(404, { method: 'GET', path: list(name) });
    const busy = Array.from({ length: 4 }, async () => await ask('some/app'));
    await until(() => bucket.waiting.length === 4);
    const gone = await Promise.all(Array.from({ length: 5 }, async () => await dial(server.url)));
    for (const socket of gone) socket.write(head('GET', list('gone/app')));
    await delay(100);
    for (const socket of gone) socket.destroy();
    await delay(100);
    const last = ask('last/app');
    bucket.isStalled = false;
    bucket.answer();
    await Promise.all([...busy, last]);
    bucket.isStalled = true;
    assert.ok(bucket.asked.some((url) => url.includes('last%2Fapp')));
    assert.ok(!bucket.asked.some((url) => url.includes('gone%2Fapp')));
  });
});
