import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../lib/config/config.ts';
import type { FenceOptions, S3Options } from '../../lib/storage/s3/bucket.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import { FenceEnded, StoreUnavailable, type Fence } from '../../lib/storage/store.ts';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { onMinio, onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { rejects } from './place.ts';

const second = 1000;
const minute = 60 * second;
const content = Buffer.from('content');

/** By as much as the usual time and a second. */
const earlier = (fence: Fence): Fence => ({ opened: new Date(fence.opened.getTime() - 2 * minute - second) });

for (const kind of [onVersitygw, onMinio])
  describe(`requests with a fence to ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let proxy: BucketProxy;
    let options: S3Options;
    let store: S3Store;

    before(async () => {
      buckets = await kind.start();
      proxy = await bucketProxy(buckets.endpoint);
      const { storage } = loadConfig('maintenance', proxied(kind, await buckets.newBucket(), proxy));
      if (storage.kind !== 's3') assert.fail();
      options = storage;
    });
    beforeEach(async () => {
      store = await openStore();
    });
    afterEach(() => {
      store.close();
    });
    after(async () => {
      await proxy.stop();
      await buckets.stop();
    });

    /** Opens it, and knows what the server can do. */
    const openStore = async (fence?: FenceOptions) => {
      proxy.reset();
      const opened = new S3Store({ ...options, fence });
      await opened.check();
      proxy.reset();
      return opened;
    };
    const operations = () => proxy.requests.map(({ operation }) => operation);
    const contentOf = async (key: string) => (await store.read(key, 100)).bytes.toString();
    const isThere = async (key: string) =>
      await store.head(key).then(
        () => true,
        () => false,
      );

    it('are as many as without', async () => {
      const { fence } = await store.fencing.open('marks/');
      await store.put('a', content, { fence, onlyIfAbsent: true });
      const deletion = await store.fencing.openDeletion({ key: 'deleting/1', bytes: content });
      await store.delete(['a'], { fence: deletion });
      await store.fencing.endDeletion({ key: 'deleting/1', lastModified: new Date() });
      await store.fencing.end();
      assert.deepEqual(operations(), ['ListObjectsV2', 'PutObject', 'PutObject', 'DeleteObjects']);
    });

    it('have all their headers and a checksum of their body signed, which the server checks', async () => {
      const { fence } = await store.fencing.open('marks/');
      await store.put('some', content, { fence, metadata: { of: 'it' } });
      const { query, headers } = proxy.requests.at(-1) ?? assert.fail();
      assert.equal(query.get('X-Amz-SignedHeaders'), 'content-md5;content-type;host;x-amz-meta-of');
      const url = `${proxy.endpoint}/${options.bucket}/some?${query.toString()}`;
      const send = async (body: string, meta: string) => {
        const signed = {
          'content-md5': String(headers['content-md5']),
          'content-type': String(headers['content-type']),
        };
        const request = { method: 'PUT', body, headers: { ...signed, 'x-amz-meta-of': meta } };
        return (await fetch(url, request)).status;
      };
      assert.equal(await send('another', 'it'), 400);
      assert.equal(await send('content', 'else'), 403);
      assert.equal(await contentOf('some'), 'content');
      assert.equal(await send('content', 'it'), 200);
    });

    it('are refused by the server when they arrive late', async () => {
      const quick = await openStore({ lifetimeMs: 3 * second, marginMs: second });
      await quick.put('there', content);
      const { fence } = await quick.fencing.open('marks/');
      proxy.intercept = async (): Promise<Fate> => {
        while (Date.now() < fence.opened.getTime() + 5 * second) await sleep(100);
        return 'pass';
      };
      const late = [
        quick.put('held', content, { fence }),
        quick.put('held/new', content, { fence, onlyIfAbsent: true }),
        quick.delete(['there'], { fence }),
      ];
      await Promise.all(late.map((one) => rejects(one, FenceEnded)));
      assert.equal(proxy.requests.length, 5);
      quick.close();
      proxy.reset();
      assert.deepEqual(await Promise.all(['held', 'held/new', 'there'].map(isThere)), [false, false, true]);
    });

    it('are not sent once their fence is known to have ended', async () => {
      const late = earlier((await store.fencing.open('marks/')).fence);
      proxy.reset();
      await rejects(store.put('some', content, { fence: late }), FenceEnded, 'some');
      await rejects(store.delete(['some'], { fence: late }), FenceEnded, 'some');
      assert.deepEqual(operations(), []);
    });

    it('have the same signature when they are sent again', async () => {
      const { fence } = await store.fencing.open('marks/');
      proxy.reset();
      proxy.intercept = (_, index) => (index === 0 ? 'drop-answer' : 'pass');
      await store.put('again', content, { fence });
      const [first, again] = proxy.requests.map(({ query }) => query.toString());
      assert.equal(again, first);
      assert.equal(await contentOf('again'), 'content');
    });

    it('that delete are not sent again after an answer that was lost, since the first may still land', async () => {
      for (const fate of ['drop-answer', 'drop-request', { status: 500, code: 'InternalError' }] as const) {
        await store.put('there', content);
        const fence = await store.fencing.openDeletion({ key: 'deleting/1', bytes: content });
        proxy.reset();
        proxy.intercept = () => fate;
        await rejects(store.delete(['there'], { fence }), StoreUnavailable, 'there');
        assert.deepEqual(operations(), ['DeleteObjects']);
        proxy.reset();
      }
    });

    it('that delete are sent again after one that was not taken', async () => {
      await store.put('there', content);
      const fence = await store.fencing.openDeletion({ key: 'deleting/1', bytes: content });
      proxy.reset();
      proxy.intercept = (_, index) => (index === 0 ? { status: 503, code: 'SlowDown' } : 'pass');
      await store.delete(['there'], { fence });
      const [first, again] = proxy.requests.map(({ query }) => query.toString());
      assert.equal(again, first);
      assert.equal(await isThere('there'), false);
    });
  });

describe('fences by the clock of a bucket', () => {
  let proxy: BucketProxy;
  let store: S3Store;
  /** The bucket's. */
  let time: number;

  before(async () => {
    // All is answered by the proxy.
    proxy = await bucketProxy('http://127.0.0.1:1');
  });
  beforeEach(() => {
    proxy.reset();
    time = Date.parse('2026-01-01T10:00:00Z');
    store = openStore();
  });
  afterEach(() => {
    mock.timers.reset();
    store.close();
  });
  after(async () => {
    await proxy.stop();
  });

  const openStore = (fence?: FenceOptions) =>
    new S3Store({
      ...{ endpoint: proxy.endpoint, region: 'us-east-1', bucket: 'images', forcePathStyle: true },
      ...{ rootDirectory: '', partSize: 5 * 1024 ** 2, conditionalWrites: true, fence },
      credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
    });
  const date = () => ({ date: new Date(time).toUTCString() });
  const found = (headers: Record<string, string> = {}): Fate => ({
    status: 200,
    headers: { etag: '"any"', ...date(), ...headers },
  });
  const record = () => ({ key: 'deleting/1', lastModified: new Date(time) });
  const openDeletion = async () => await store.fencing.openDeletion({ key: 'deleting/1', bytes: content });

  it('begin with the answer, also one that a cache had kept for a while', async () => {
    proxy.intercept = () => found();
    assert.equal((await openDeletion()).opened.getTime(), time);
    proxy.intercept = () => found({ age: '50' });
    assert.equal((await openDeletion()).opened.getTime(), time - 50 * second);
  });

  it('cannot be opened by an answer without a date', async () => {
    for (const headers of [{ date: 'today' }, { age: 'old' }]) {
      proxy.intercept = () => found(headers);
      await rejects(openDeletion(), StoreUnavailable, 'deleting/1');
    }
  });

  it('end two minutes and ten more after they were opened, by any clock of this side', async () => {
    assert.equal(await store.fencing.end(), 12 * minute);
    assert.equal(await store.fencing.endDeletion(record()), 12 * minute);
    proxy.intercept = () => found();
    const deletion = record();
    for (const [minutes, leftMinutes] of [
      [0, 12],
      [5, 7],
      [11, 1],
      [13, 0],
    ] as const) {
      time = deletion.lastModified.getTime() + minutes * minute;
      await store.put('some', content);
      for (const offset of [-60, 0, 60]) {
        mock.timers.enable({ apis: ['Date'], now: Date.now() + offset * minute });
        const leftMs = await store.fencing.endDeletion(deletion);
        mock.timers.reset();
        assert.ok(leftMs <= leftMinutes * minute && leftMs > leftMinutes * minute - 10 * second, `${leftMs}`);
      }
    }
  });

  it('have the times that are set', async () => {
    const quick = openStore({ lifetimeMs: 2 * second, marginMs: 3 * second });
    assert.equal(await quick.fencing.end(), 5 * second);
    proxy.intercept = () => found();
    const fence = await quick.fencing.openDeletion({ key: 'deleting/1', bytes: content });
    await quick.put('some', content, { fence });
    const { query } = proxy.requests.at(-1) ?? assert.fail();
    assert.equal(query.get('X-Amz-Expires'), '2');
    assert.equal(query.get('X-Amz-Date'), '20260101T100000Z');
    quick.close();
  });

  it('keep their date where the clock turns out to be another', async () => {
    proxy.intercept = () => found();
    const fence = await openDeletion();
    time += 30 * minute;
    const skewed: Fate = { status: 403, code: 'RequestTimeTooSkewed', headers: date() };
    proxy.intercept = () => skewed;
    await rejects(store.put('some', content, { fence }), FenceEnded, 'some');
    assert.equal(proxy.requests.length, 2);
  });

  it('have ended for a refusal that says so or is dated so, not for others', async () => {
    proxy.intercept = () => found();
    const fence = await openDeletion();
    const dated = (ms: number) => ({ date: new Date(time + ms).toUTCString() });
    const refusals: readonly [Fate, typeof FenceEnded | typeof StoreUnavailable][] = [
      [{ status: 403, code: 'AccessDenied', headers: dated(3 * minute) }, FenceEnded],
      [{ status: 400, code: 'ExpiredRequest', headers: dated(119 * second) }, FenceEnded],
      [{ status: 400, code: 'ExpiredToken', headers: date() }, StoreUnavailable],
      [{ status: 403, code: 'InvalidAccessKeyId', headers: date() }, StoreUnavailable],
    ];
    for (const [fate, Type] of refusals) {
      proxy.intercept = () => fate;
      await rejects(store.put('some', content, { fence }), Type, 'some');
    }
  });

  it('do not end again and again where a proxy dates answers by another clock than that of the server', async () => {
    proxy.intercept = () => found();
    const fence = await openDeletion();
    for (const code of ['ExpiredRequest', 'RequestTimeTooSkewed', 'RequestNotReadyYet']) {
      proxy.intercept = () => ({ status: 403, code, headers: date() });
      await assert.rejects(store.put('some', content, { fence }), (error) => {
        assert.ok(error instanceof StoreUnavailable && !(error instanceof FenceEnded));
        assert.match(error.message, /set its clock, and those of the proxies before it/);
        return true;
      });
    }
  });
});
