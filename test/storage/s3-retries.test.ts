import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSocketServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { S3Error } from '../../lib/storage/s3/client/errors.ts';
import { BucketClient } from '../../lib/storage/s3/client/client.ts';
import { Retries } from '../../lib/storage/s3/client/retries.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import { outcomeOf } from '../../lib/storage/bucket-requests.ts';
import { ObjectUnreadable, StoreUnavailable } from '../../lib/storage/store.ts';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { rejects } from './place.ts';

const minute = 60_000;
const found: Fate = { status: 200, headers: { etag: '"any"' } };

for (const startsOften of [false, true]) {
  describe(`requests to S3 that fail, ${clientOf(startsOften)}`, () => {
    let proxy: BucketProxy;
    let store: S3Store;
    const seen: string[] = [];

    before(async () => {
      // All is answered by the proxy.
      proxy = await bucketProxy('http://127.0.0.1:1');
    });

    beforeEach(() => {
      proxy.reset();
      seen.length = 0;
      store = openStore(proxy.endpoint, startsOften, seen);
    });

    after(async () => {
      store.close();
      await proxy.stop();
    });

    /** Answers the first request like this, and all others with success. */
    const first = (fate: Fate) => {
      proxy.intercept = (_, index) => (index === 0 ? fate : found);
    };

    for (const [name, fate, outcome] of [
      ['throttled with 503 SlowDown', { status: 503, code: 'SlowDown' }, 'throttled'],
      ['throttled with 429', { status: 429, code: 'TooManyRequests' }, 'throttled'],
      ['answered 500', { status: 500, code: 'InternalError' }, 'server_error'],
      ['answered 400 RequestTimeout', { status: 400, code: 'RequestTimeout' }, 'client_error'],
      ['cut off', 'drop-request', 'connection_error'],
    ] as const)
      it(`are sent again when they were ${name}`, async () => {
        first(fate);
        await store.put('some', Buffer.from('text'));
        assert.deepEqual(seen, [outcome, 'success']);
      });

    it('wait for as long as a throttled answer asks', async () => {
      first({ status: 503, code: 'SlowDown', headers: { 'retry-after': '1' } });
      const start = performance.now();
      await store.head('some');
      assert.ok(performance.now() - start >= 990);
    });

    it('are not sent again when they were refused', async () => {
      proxy.intercept = () => ({ status: 403, code: 'AccessDenied' });
      await rejects(store.put('some', Buffer.from('text')), ObjectUnreadable, 'some');
      assert.deepEqual(seen, ['client_error']);
    });

    it('are an outage when HEAD is refused, whose answer names no object', async () => {
      proxy.intercept = () => ({ status: 403 });
      await assert.rejects(
        store.head('some'),
        (error) => error instanceof StoreUnavailable && !(error instanceof ObjectUnreadable),
      );
    });

    it('are sent five times', async () => {
      proxy.intercept = () => ({ status: 500, code: 'InternalError' });
      await rejects(store.put('some', Buffer.from('text')), StoreUnavailable, 'some');
      assert.deepEqual(seen, Array<string>(5).fill('server_error'));
    });

    it('are sent again when a success turns out to be an error', async () => {
      let turns = 0;
      const late = fixedServer((_, body) => {
        turns += 1;
        return body.includes('CompleteMultipartUpload') && turns === 1
          ? '<?xml version="1.0"?>\n  \n<Error><Code>InternalError</Code><Message>late</Message></Error>'
          : '<CompleteMultipartUploadResult><ETag>&quot;whole&quot;</ETag></CompleteMultipartUploadResult>';
      });
      const other = openStore(await late.url, startsOften);
      const { etag } = await other.completeMultipart('some', 'id', [{ number: 1, etag: 'a', size: 1 }]);
      assert.deepEqual([etag, turns], ['whole', 2]);
      other.close();
      await late.stop();
    });

    it('are signed with the time of the server that refused them for their own', async () => {
      const serverTime = new Date(Date.now() + 20 * minute);
      const refusal = (headers: Record<string, string> = {}): Fate => ({
        status: 403,
        code: 'RequestTimeTooSkewed',
        headers: { date: serverTime.toUTCString(), ...headers },
      });
      first(refusal());
      await store.put('some', Buffer.from('text'));
      const [signed, again] = proxy.requests.map(({ headers }) => timeOf(headers['x-amz-date']));
      assert.ok(Math.abs((signed ?? 0) - Date.now()) < minute);
      assert.ok(Math.abs((again ?? 0) - serverTime.getTime()) < minute);
      // A cache tells an old time.
      proxy.reset();
      const other = openStore(proxy.endpoint, startsOften);
      first(refusal({ age: '1200' }));
      await rejects(other.put('some', Buffer.from('text')), StoreUnavailable, 'some');
      assert.equal(proxy.requests.length, 1);
      other.close();
    });

    it('time out while they are not answered', async () => {
      proxy.intercept = () => 'stall';
      const client = newClient(proxy.endpoint, startsOften);
      const request = { operation: 'GetObject', method: 'GET', key: 'some', timeoutMs: 50 } as const;
      await assert.rejects(client.exchange(request), { code: 'ETIMEDOUT' });
      assert.ok(proxy.requests.length >= 2);
      client.close();
    });

    it('of the method HEAD may be answered with a body, as Swift does', async () => {
      const server = createSocketServer((socket) => {
        socket.on('error', () => undefined);
        socket.on('data', () => socket.write('HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone'));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const client = newClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, startsOften);
      for (let i = 0; i < 2; i++)
        await assert.rejects(client.exchange({ operation: 'HeadObject', method: 'HEAD', key: 'some' }), {
          code: 'NotFound',
        });
      client.close();
      server.close();
    });

    it('share a quota of retries, which successes fill', () => {
      const retries = new Retries();
      const failure = new S3Error('ECONNRESET', '');
      const taken = () => {
        let count = 0;
        while (retries.take(failure, 1) !== undefined) count += 1;
        return count;
      };
      assert.equal(taken(), 35);
      for (let i = 0; i < 100; i++) retries.succeeded();
      assert.equal(taken(), 7);
      assert.equal(new Retries().take(failure, 5), undefined);
      assert.equal(new Retries().take(new S3Error('NoSuchKey', '', { status: 404 }), 1), undefined);
    });
  });

  describe(`bodies from S3, ${clientOf(startsOften)}`, () => {
    it('close their connection when they are destroyed, and return it at their end', async (t) => {
      const server = fixedServer(() => 'x'.repeat(1_000_000));
      const store = openStore(await server.url, startsOften);
      t.after(async () => {
        store.close();
        await server.stop();
      });
      const { body } = await store.open('some');
      assert.equal(server.sockets.size, 1);
      const [socket] = server.sockets;
      const closed = new Promise((resolve) => socket?.once('close', resolve));
      body.destroy();
      await closed;
      for (let i = 0; i < 5; i++) {
        await (await store.open('some')).body.toArray();
        await setImmediate();
      }
      assert.equal(server.sockets.size, 1);
    });

    it('are read in the context of their reader, whoever opened the connection', async (t) => {
      const server = fixedServer(() => 'x'.repeat(1_000_000));
      const client = newClient(await server.url, startsOften);
      t.after(async () => {
        client.close();
        await server.stop();
      });
      const context = new AsyncLocalStorage<string>();
      const contexts = new Set<string | undefined>();
      for (const name of ['first', 'second'])
        await context.run(name, async () => {
          const request = { operation: 'GetObject', method: 'GET', key: 'some' } as const;
          const { body } = await client.open(request);
          body.on('data', () => contexts.add(`${name} ${context.getStore() ?? ''}`));
          await once(body, 'end');
          await setImmediate();
        });
      assert.deepEqual([...contexts], ['first first', 'second second']);
      assert.equal(server.sockets.size, 1);
    });
  });
}

function clientOf(startsOften: boolean): string {
  return startsOften ? 'sent by Node' : 'sent by undici';
}

const place = {
  bucket: 'images',
  region: 'us-east-1',
  credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
  forcePathStyle: true,
};

function openStore(endpoint: string, startsOften: boolean, seen: string[] = []): S3Store {
  const options = {
    ...place,
    endpoint,
    startsOften,
    rootDirectory: '',
    partSize: 8 * 1024 ** 2,
    conditionalWrites: true,
  };
  return new S3Store(options, undefined, undefined, () => (end) => seen.push(outcomeOf(end)));
}

function newClient(endpoint: string, startsOften: boolean): BucketClient {
  return new BucketClient({ ...place, endpoint, startsOften, clock: { offsetMs: 0, correct: () => false } });
}

/** A server that answers all requests with 200. */
function fixedServer(answer: (url: string, body: string) => string) {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    void request.toArray().then((parts) => {
      const body = answer(request.url ?? '', parts.join(''));
      response.writeHead(200, { etag: '"any"', 'content-length': body.length }).end(body);
    });
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined));
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  const listening = once(server, 'listening');
  return {
    sockets,
    url: listening.then(() => `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    stop: async () => {
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
}

/** From `20130524T000000Z`. */
function timeOf(text: unknown): number {
  return Date.parse(String(text).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'));
}
