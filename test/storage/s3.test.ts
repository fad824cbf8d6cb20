import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Store } from '../../lib/storage/s3/store.ts';
import type { CopyOptions, S3Options } from '../../lib/storage/s3/bucket.ts';
import {
  InvalidKey,
  ObjectNotFound,
  ObjectUnreadable,
  PreconditionFailed,
  StoreUnavailable,
} from '../../lib/storage/store.ts';
import { bucketProxy, type BucketProxy, type BucketRequest, type Fate } from '../servers/bucket-proxy.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { swift } from '../servers/swift.ts';
import { rejects } from './place.ts';

const BUCKET = 'images';
const MiB = 1024 ** 2;

describe('S3 store on Swift', requires('swift-proxy-server'), () => {
  let server: S3Server;

  before(async () => {
    server = await swift();
    await server.createBucket(BUCKET);
  });

  after(async () => {
    await server.stop();
  });

  const options = (more: Partial<S3Options> = {}): S3Options => ({
    bucket: BUCKET,
    region: server.region,
    endpoint: server.endpoint,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    rootDirectory: '',
    forcePathStyle: true,
    partSize: 5 * 1024 ** 2,
    ...more,
  });

  describe('of its own', () => {
    let proxy: BucketProxy;
    const opened: S3Store[] = [];
    const operations = () => proxy.requests.map(({ operation }) => operation);

    /** Through the proxy. */
    const open = (more: Partial<S3Options> = {}): S3Store => {
      const store = new S3Store(options({ endpoint: proxy.endpoint, ...more }));
      opened.push(store);
      return store;
    };

    before(async () => {
      proxy = await bucketProxy(server.endpoint);
    });

    beforeEach(() => {
      proxy.reset();
    });

    after(async () => {
      for (const store of opened) store.close();
      await proxy.stop();
    });

    describe('copies', () => {
      const small: CopyOptions = { threshold: 5 * MiB, partSize: 5 * MiB, parallel: 3 };
      const content = randomBytes(12 * MiB);
      const read = async (store: S3Store, key: string) => (await store.read(key, 100 * MiB)).bytes;

      it('large copies use concurrent parts of the configured size and keep metadata', async () => {
        const store = open({ copy: small });
        const info = await store.put('copies/a', content, { metadata: { 'a-b': 'c' } });
        proxy.reset();
        await store.move('copies/a', 'copies/b', info);
        assert.equal(operations().filter((name) => name === 'UploadPartCopy').length, 3);
        assert.ok(!operations().includes('CopyObject'));
        assert.ok(content.equals(await read(store, 'copies/b')));
        assert.deepEqual((await store.head('copies/b')).metadata, { 'a-b': 'c' });
      });

      it('small copies use one call', async () => {
        const store = open({ copy: { ...small, threshold: content.length } });
        const info = await store.put('copies/c', content);
        proxy.reset();
        await store.move('copies/c', 'copies/d', info);
        assert.deepEqual(operations(), ['CopyObject']);
        assert.ok(content.equals(await read(store, 'copies/d')));
      });

      it('copies pass through the process if the server cannot copy parts', async () => {
        const store = open({ copy: small });
        const info = await store.put('copies/e', content);
        proxy.intercept = ({ operation }) =>
          operation === 'UploadPartCopy' ? { status: 501, code: 'NotImplemented' } : 'pass';
        await store.move('copies/e', 'copies/f', info);
        assert.ok(content.equals(await read(store, 'copies/f')));
      });

      it('concatenation is refused if the server cannot copy parts, and leaves nothing behind', async () => {
        const store = open();
        await store.put('copies/k', content);
        proxy.intercept = ({ operation }) =>
          operation === 'UploadPartCopy' ? { status: 501, code: 'NotImplemented' } : 'pass';
        const pieces = [{ key: 'copies/k', sizes: [content.length] }];
        assert.equal(await store.concatenate('copies/l', pieces, { tail: content }), false);
        await rejects(store.head('copies/l'), ObjectNotFound);
        for await (const { key } of store.listMultiparts('copies/')) assert.fail(`${key} was left`);
      });

      it('a failed copy leaves nothing behind', async () => {
        const store = open({ copy: small });
        const info = await store.put('copies/g', content);
        proxy.intercept = ({ operation, query }) =>
          operation === 'UploadPartCopy' && query.get('partNumber') === '2'
            ? { status: 403, code: 'AccessDenied' }
            : 'pass';
        await rejects(store.move('copies/g', 'copies/h', info), ObjectUnreadable, 'copies/g');
        await rejects(store.head('copies/h'), ObjectNotFound);
        for await (const { key } of store.listMultiparts('copies/')) assert.fail(`${key} was left`);
      });

      it('a copy never copies an object that replaced the source', async () => {
        for (const copy of [small, { ...small, threshold: 100 * MiB }]) {
          const store = open({ copy });
          const { etag } = await store.put('copies/i', content);
          await store.put('copies/i', randomBytes(content.length));
          const source = { size: content.length, etag };
          await rejects(store.move('copies/i', 'copies/j', source), PreconditionFailed, 'copies/i');
          await rejects(store.head('copies/j'), ObjectNotFound);
        }
      });
    });

    describe('below a root directory', () => {
      it('a store below a root directory has its own keys and no others', async () => {
        const [below, beside] = [open({ rootDirectory: 'team/root' }), open()];
        await beside.put('team/rooted', Buffer.from('another'));
        await below.put('a/b', Buffer.from('content'));
        await below.put('a/c/d', Buffer.from('content'));
        const upload = await below.createMultipart('e');
        assert.deepEqual(
          (await beside.list({ prefix: 'team/root/' })).objects.map(({ key }) => key),
          ['team/root/a/b', 'team/root/a/c/d'],
        );
        const { objects, prefixes } = await below.list({ prefix: 'a/', delimiter: '/', startAfter: 'a/a' });
        assert.deepEqual([objects.map(({ key }) => key), prefixes], [['a/b'], ['a/c/']]);
        const uploads: string[] = [];
        for await (const { key } of below.listMultiparts('')) uploads.push(key);
        assert.deepEqual(uploads, ['e']);
        await below.abortMultipart('e', upload);
      });

      it('a store below a root directory refuses keys that become too long', async () => {
        const store = open({ rootDirectory: 'r'.repeat(100) });
        await rejects(store.put('k'.repeat(924), Buffer.alloc(1)), InvalidKey);
        await store.put(`${'k'.repeat(900)}/x`, Buffer.alloc(1));
      });
    });

    it('every write to S3 sets the storage class and encryption', async () => {
      const store = open({ encryption: { keyId: 'the-key' }, storageClass: 'STANDARD_IA' });
      const source = { size: 1, etag: 'any' };
      proxy.intercept = () => ({ status: 200, headers: { etag: '"any"' } });
      // The results do not matter: the responses are made up.
      await Promise.allSettled([
        store.put('kept/a', Buffer.from('a')),
        store.createMultipart('kept/b'),
        store.move('kept/a', 'kept/c', source),
      ]);
      const asked = proxy.requests.map(({ operation, headers }) =>
        [
          operation,
          headers['x-amz-server-side-encryption'],
          headers['x-amz-server-side-encryption-aws-kms-key-id'],
          headers['x-amz-storage-class'],
        ].join(' '),
      );
      assert.deepEqual(
        new Set(asked),
        new Set(
          ['PutObject', 'CreateMultipartUpload', 'CopyObject'].map(
            (name) => `${name} aws:kms the-key STANDARD_IA`,
          ),
        ),
      );
    });

    describe('conditional writes', () => {
      /** Swift has none; here the proxy stands in for a server that does. */
      const honour = async (request: BucketRequest): Promise<Fate> => {
        const { 'if-match': match, 'if-none-match': none } = request.headers;
        if (request.operation !== 'PutObject' || (match === undefined && none === undefined)) return 'pass';
        const bytes = await request.body();
        const there = await direct.head(request.key).catch(() => undefined);
        const holds = match === undefined ? there === undefined : match === `"${there?.etag ?? ''}"`;
        if (!holds) return { status: 412, code: 'PreconditionFailed' };
        const { etag } = await direct.put(request.key, bytes);
        return { status: 200, headers: { etag: `"${etag}"` } };
      };
      let direct: S3Store;

      before(() => {
        direct = new S3Store(options());
        opened.push(direct);
      });

      it('conditional writes are probed by a write that must fail and leaves nothing', async () => {
        const [with_, without] = [open(), open()];
        proxy.intercept = honour;
        await with_.check();
        assert.equal(with_.limits.honoursIfMatch, true);
        // As a server does that has never heard of conditions.
        const ignoring = open();
        proxy.intercept = async ({ operation, key, body }) => {
          if (operation !== 'PutObject') return 'pass';
          const { etag } = await direct.put(key, await body());
          return { status: 200, headers: { etag: `"${etag}"` } };
        };
        await ignoring.check();
        assert.equal(ignoring.limits.honoursIfMatch, false);
        proxy.reset();
        await without.check();
        assert.equal(without.limits.honoursIfMatch, false);
        const { objects } = await without.list({ prefix: 'docker/registry/v2/uploads/' });
        assert.deepEqual(objects, []);
      });

      it('configured conditional writes are not probed', async () => {
        for (const conditionalWrites of [true, false]) {
          proxy.reset();
          await open({ conditionalWrites }).check();
          assert.deepEqual(operations(), ['ListObjectsV2']);
        }
      });

      it('conditional writes are not probed in read-only mode', async () => {
        proxy.reset();
        await open().check({ readOnly: true });
        assert.deepEqual(operations(), ['ListObjectsV2']);
      });

      it('configured conditional writes that the server lacks fail a write with advice', async () => {
        const store = open({ conditionalWrites: true });
        await assert.rejects(store.put('conditions/none', Buffer.from('a'), { onlyIfAbsent: true }), {
          name: 'StoreUnavailable',
          message: /does not know If-Match; set REGISTRY_STORAGE_S3_CONDITIONALWRITES=false/,
        });
      });

      it('a conditional write whose response was lost has succeeded', async () => {
        const store = open({ conditionalWrites: true });
        const { etag } = await store.put('conditions/a', Buffer.from('one'));
        let puts = 0;
        proxy.intercept = async (request) => {
          const fate = await honour(request);
          if (request.operation === 'PutObject') puts += 1;
          return puts === 1 ? 'drop-request' : fate;
        };
        await store.put('conditions/a', Buffer.from('two'), { ifMatch: etag });
        assert.equal((await store.read('conditions/a', 10)).bytes.toString(), 'two');
        await rejects(store.put('conditions/a', Buffer.from('three'), { ifMatch: etag }), PreconditionFailed);
        assert.equal((await store.read('conditions/a', 10)).bytes.toString(), 'two');
      });

      it('a conditional write that meets a concurrent one is retried', async () => {
        const store = open({ conditionalWrites: true });
        const { etag } = await store.put('conditions/b', Buffer.from('one'));
        proxy.reset();
        proxy.intercept = async (request, index) =>
          index < 2 ? { status: 409, code: 'ConditionalRequestConflict' } : await honour(request);
        await store.put('conditions/b', Buffer.from('two'), { ifMatch: etag });
        assert.deepEqual(operations(), ['PutObject', 'PutObject', 'PutObject']);
      });
    });

    it('requests to S3 have an MD5 only if required', async () => {
      const store = open();
      await store.put('md5', Buffer.from('content'));
      await store.delete(['md5']);
      assert.deepEqual(
        proxy.requests.map(({ operation, headers }) => [operation, headers['content-md5'] !== undefined]),
        [
          ['PutObject', false],
          ['DeleteObjects', true],
        ],
      );
    });

    it('a small object is read again if its body is interrupted', async () => {
      const store = open();
      await store.put('broken', Buffer.from('content'));
      proxy.reset();
      proxy.intercept = (_, index): Fate => (index < 2 ? 'cut-body' : 'pass');
      assert.equal((await store.read('broken', 10)).bytes.toString(), 'content');
      proxy.reset();
      proxy.intercept = () => 'cut-body';
      await rejects(store.read('broken', 10), StoreUnavailable, 'broken');
    });

    it('signed URLs of S3 expire and are valid for one object only', async () => {
      const store = open();
      await store.put('signed/a', Buffer.from('content'));
      await store.put('signed/b', Buffer.from('other'));
      const url = await store.signedUrl('signed/a', 1200);
      assert.equal(url.searchParams.get('X-Amz-Expires'), '1200');
      assert.equal((await fetch(new URL(url.href.replace('signed/a', 'signed/b')))).status, 403);
      const short = await store.signedUrl('signed/a', 1);
      await sleep(2500);
      assert.equal((await fetch(short)).status, 403);
      assert.equal(await (await fetch(url)).text(), 'content');
    });
  });
});
