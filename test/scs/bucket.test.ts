import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { createServer as createNetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, afterEach, before, describe, it } from 'node:test';
import { ScsBucket, type ScsBucketOptions } from '../../lib/storage/scs/client/bucket.ts';
import type { RetryPolicy } from '../../lib/storage/scs/client/connection.ts';
import { ScsError } from '../../lib/storage/scs/client/errors.ts';
import type { Answer, Fate } from '../servers/bucket-proxy.ts';
import { freePort } from '../servers/ports.ts';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { testCertificate, testKey } from '../servers/certificate.ts';

const BUCKET = 'images';
const MiB = 1024 ** 2;

/** Names with all that has a meaning in a URL, a query, XML or a file system. */
const KEYS = [
  'a b/c d',
  'plus+plus',
  'per%cent%20',
  'tilde~',
  'colon:tag',
  '镜像/中文',
  '\u{1f4e6}',
  `!'()*,;=@&?#[]$`,
  '<key attr="1">&amp;</key>',
  'line\nfeed\ttab\rreturn',
  '\\back\\slash',
  ' ends with spaces ',
  '0123',
];

/** Fast, but otherwise as SCS's own SDK. */
const quick: RetryPolicy = { attempts: 5, totalMs: 0, pauseMs: 5 };

describe('a bucket of SCS', () => {
  let server: ScsServer;
  const opened: ScsBucket[] = [];

  const open = (more: Partial<ScsBucketOptions> = {}): ScsBucket => {
    const { endpoint, accessKey, secretKey } = server;
    const keys = { accessKey, secretKey };
    const bucket = new ScsBucket({ bucket: BUCKET, endpoint, keys, retryPolicy: quick, ...more });
    opened.push(bucket);
    return bucket;
  };
  const operations = () => server.requests.map(({ operation }) => operation);

  before(async () => {
    server = await startScs();
    await server.createBucket(BUCKET);
  });

  after(async () => {
    await server.stop();
  });

  afterEach(() => {
    server.reset();
    for (const bucket of opened.splice(0)) bucket.close();
  });

  describe('keys of any characters', () => {
    for (const key of KEYS)
      it(`keys of any characters are put, read, listed, copied, renamed and deleted: ${JSON.stringify(key)}`, async () => {
        const bucket = open();
        const bytes = randomBytes(10);
        await bucket.put(key, bytes);
        assert.ok((await buffer((await bucket.get(key)).body)).equals(bytes));
        assert.deepEqual(
          (await bucket.list({ prefix: key, maxKeys: 10 })).objects.map((one) => one.key),
          [key],
        );
        const listed = await bucket.list({ marker: '', delimiter: key, maxKeys: 10 });
        assert.deepEqual(listed.prefixes, [key]);
        await bucket.copy(key, `copy of ${key}`);
        await bucket.rename(`copy of ${key}`, `renamed ${key}`);
        assert.equal((await bucket.head(`renamed ${key}`)).size, 10);
        const id = await bucket.createMultipart(key);
        assert.deepEqual(
          (await bucket.listMultiparts({ prefix: key })).uploads.map((one) => [one.key, one.uploadId]),
          [[key, id]],
        );
        await bucket.abortMultipart(key, id);
        assert.deepEqual(await bucket.deleteMany([key, `renamed ${key}`, 'gone']), []);
        assert.deepEqual((await bucket.list({ maxKeys: 10 })).objects, []);
      });
  });

  it('makes an object of parts', async () => {
    const bucket = open();
    const parts = [randomBytes(5 * MiB), randomBytes(3)];
    const id = await bucket.createMultipart('parts', { metadata: { a: '1' } });
    const etags = await Promise.all(
      parts.map(async (bytes, i) => ({
        number: i + 1,
        etag: await bucket.uploadPart('parts', id, i + 1, bytes),
      })),
    );
    const etag = await bucket.completeMultipart('parts', id, etags);
    const { body, ...head } = await bucket.get('parts');
    assert.ok((await buffer(body)).equals(Buffer.concat(parts)));
    assert.equal(head.etag, etag);
    assert.deepEqual((await bucket.head('parts')).metadata, { a: '1' });
    await bucket.delete('parts');
  });

  it('gives a body that may be destroyed with an error', async () => {
    const bucket = open();
    await bucket.put('large', randomBytes(20 * MiB));
    const { body } = await bucket.get('large');
    body.on('error', () => undefined);
    body.destroy(new Error('given up'));
    // Node also emits the error on the request, which has no listener any more; that would end the process.
    await delay(100);
    await bucket.delete('large');
  });

  it('returns the location of a bucket of SCS', async () => {
    assert.equal(await open().location(), new URL(server.endpoint).host);
  });

  describe('a request that fails', () => {
    /** Has every attempt up to the number fail so. */
    const failing = (fate: Fate, times: number) => {
      server.intercept = (_, index) => (index < times ? fate : 'pass');
    };
    const faults: Readonly<Record<string, Fate>> = {
      InternalError: { status: 500, code: 'InternalError' },
      'NoSuchUpload, which another region may not know of yet': { status: 404, code: 'NoSuchUpload' },
      NoSuchBucket: { status: 404, code: 'NoSuchBucket' },
      'InternalError under a status of success': { status: 200, code: 'InternalError' },
      'a gateway that finds no server': { status: 503 },
      'a connection that drops before it is done': 'drop-request',
      'a connection that drops before it is answered': 'drop-answer',
    };
    for (const [name, fate] of Object.entries(faults))
      it(`a request to SCS is retried with a new signature: ${name}`, async () => {
        failing(fate, 4);
        await open().list({ maxKeys: 1 });
        assert.equal(server.requests.length, 5);
      });

    it('a request to SCS fails after five attempts', async () => {
      failing({ status: 500, code: 'InternalError' }, 100);
      const error = await failureOf(open().head('a'));
      assert.deepEqual([error.code, error.status, error.attempts], ['HTTP500', 500, 5]);
      assert.equal(server.requests.length, 5);
    });

    it('a request to SCS is retried as long as by its SDK by default', async () => {
      failing({ status: 500, code: 'InternalError' }, 1000);
      const { endpoint, accessKey, secretKey } = server;
      const bucket = new ScsBucket({ bucket: BUCKET, endpoint, keys: { accessKey, secretKey } });
      opened.push(bucket);
      const began = performance.now();
      await failureOf(bucket.list({ maxKeys: 1 }));
      const [count, last] = [server.requests.length, performance.now() - began];
      assert.ok(last >= 5_000, `it was given up after ${last} ms`);
      assert.ok(count >= 5 && count <= 26, `${count} attempts`);
    });

    const refusals: Readonly<Record<string, Answer>> = {
      'an access that is denied': { status: 403, code: 'AccessDenied' },
      'a key that is missing': { status: 404, code: 'NoSuchKey' },
      'what is not implemented': { status: 501, code: 'NotImplemented' },
      'a request that makes no sense': { status: 400, code: 'InvalidArgument' },
    };
    for (const [name, { status, code }] of Object.entries(refusals))
      it(`a request to SCS is not retried after ${name}`, async () => {
        failing({ status, ...(code !== undefined && { code }) }, 100);
        const error = await failureOf(open().list({ maxKeys: 1 }));
        assert.deepEqual([error.code, error.status], [code, status]);
        assert.equal(server.requests.length, 1);
      });

    it('an abort of an unknown upload on SCS is not retried', async () => {
      const error = await failureOf(open().abortMultipart('a', 'gone'));
      assert.equal(error.code, 'NoSuchUpload');
      assert.equal(server.requests.length, 1);
    });

    it('a request to SCS is retried if its response is interrupted', async () => {
      const bucket = open();
      await bucket.put('cut', Buffer.from('x'));
      server.reset();
      failing('cut-body', 1);
      assert.equal((await bucket.list({ maxKeys: 10 })).objects.length, 1);
      assert.deepEqual(operations(), ['ListObjects', 'ListObjects']);
    });

    it('each attempt of a request to SCS has its own date and signature', async () => {
      failing({ status: 500, code: 'InternalError' }, 5);
      await open({ retryPolicy: { attempts: 6, totalMs: 0, pauseMs: 300 } }).list({ maxKeys: 1 });
      const signed = new Set(
        server.requests.map(({ headers }) => `${headers.date ?? ''} ${headers.authorization ?? ''}`),
      );
      assert.ok(signed.size > 1, 'every attempt has the date of the first');
    });

    for (const [name, change, code] of [
      ['a wrong secret key', { secretKey: 'x' }, 'SignatureDoesNotMatch'],
      ['a wrong access key', { accessKey: 'x' }, 'InvalidAccessKeyId'],
    ] as const)
      it(`says what is wrong: ${name}`, async () => {
        const { accessKey, secretKey } = server;
        const error = await failureOf(
          open({ keys: { accessKey, secretKey, ...change } }).list({ maxKeys: 1 }),
        );
        assert.deepEqual([error.code, error.status], [code, 403]);
        assert.equal(error.requestId, 'request-of-a-test');
      });

    it('the error of SCS is read even if the server closes the connection during the body', async () => {
      const refusing = createNetServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.pause();
          const body = '<Error><Code>AccessDenied</Code></Error>';
          socket.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${body.length}\r\n\r\n${body}`, () => {
            setTimeout(() => socket.resetAndDestroy(), 50);
          });
        });
      }).listen(0, '127.0.0.1');
      await once(refusing, 'listening');
      const endpoint = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
      const error = await failureOf(open({ endpoint }).put('a', randomBytes(30 * MiB)));
      assert.equal(error.code, 'AccessDenied');
      // Later errors of the connection must be harmless.
      await delay(200);
      refusing.close();
    });

    it('reports that nothing listens', async () => {
      const endpoint = `http://127.0.0.1:${await freePort()}`;
      const error = await failureOf(open({ endpoint }).head('a'));
      assert.deepEqual([error.code, error.status, error.attempts], ['ECONNREFUSED', undefined, 5]);
    });
  });

  it('speaks https and follows no redirect to http', async () => {
    const tls = { key: testKey, cert: testCertificate };
    const secure = await startScs({ tls });
    await secure.createBucket(BUCKET);
    const bucket = open({ endpoint: secure.endpoint, skipVerify: true });
    await bucket.put('a', Buffer.from('x'));
    assert.equal(bucket.signedUrl('a', 0).origin, secure.endpoint);
    const strict = await failureOf(open({ endpoint: secure.endpoint }).head('a'));
    assert.deepEqual([strict.code, strict.attempts], ['DEPTH_ZERO_SELF_SIGNED_CERT', 1]);
    secure.redirect(BUCKET, server.endpoint);
    server.reset();
    const led = await failureOf(bucket.head('a'));
    assert.equal(led.code, 'EPROTO');
    assert.deepEqual(server.requests, []);
    await secure.stop();
  });

  describe('deadlines', () => {
    let silent: Server;
    const endpoint = () => `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;

    before(async () => {
      silent = createServer(() => undefined).listen(0, '127.0.0.1');
      await once(silent, 'listening');
    });

    after(() => {
      silent.closeAllConnections();
      silent.close();
    });

    it('a deadline ends a request to SCS without a response', { timeout: 60_000 }, async () => {
      const began = performance.now();
      const error = await failureOf(open({ endpoint: endpoint() }).list({ maxKeys: 1 }));
      assert.equal(error.code, 'ETIMEDOUT');
      assert.ok(performance.now() - began < 26_000, 'a gateway would have given up');
    });
  });

  describe('in another region', () => {
    let region: ScsServer;

    before(async () => {
      region = await startScs();
      await region.createBucket('elsewhere');
      await server.createBucket('elsewhere');
      server.redirect('elsewhere', region.endpoint);
    });

    after(async () => {
      await region.stop();
    });

    it('a bucket of SCS in another region is found and used from then on, for signed URLs too', async () => {
      const bucket = open({ bucket: 'elsewhere' });
      await bucket.put('a', Buffer.from('there'));
      await bucket.head('a');
      assert.deepEqual(operations(), ['PutObject']);
      assert.deepEqual(
        region.requests.map(({ operation }) => operation),
        ['PutObject', 'HeadObject'],
      );
      const url = bucket.signedUrl('a', Math.floor(Date.now() / 1000) + 60);
      assert.equal(url.origin, region.endpoint);
      assert.equal(await (await fetch(url)).text(), 'there');
    });

    it('a bucket of SCS in another region is found by its location', async () => {
      assert.equal(await open({ bucket: 'elsewhere' }).location(), new URL(region.endpoint).host);
    });

    it('a bucket of SCS that left its region is looked up again', async () => {
      const bucket = open({ bucket: 'elsewhere' });
      await bucket.head('a');
      region.intercept = () => 'drop-request';
      server.reset();
      await failureOf(bucket.head('a'));
      assert.equal(server.requests.length, 4);
      region.reset();
      await bucket.head('a');
    });

    it('redirects between regions of SCS are bounded', async () => {
      const other = await startScs();
      await other.createBucket('circle');
      await server.createBucket('circle');
      server.redirect('circle', other.endpoint);
      other.redirect('circle', server.endpoint);
      const error = await failureOf(open({ bucket: 'circle' }).list({ maxKeys: 1 }));
      assert.equal(error.code, 'TooManyRedirects');
      assert.equal(server.requests.length + other.requests.length, 4);
      await other.stop();
    });
  });
});

async function failureOf(promise: Promise<unknown>): Promise<ScsError> {
  const error: unknown = await promise.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ScsError, String(error));
  return error;
}
