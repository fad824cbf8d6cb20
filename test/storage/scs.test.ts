import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { ScsStore, type ScsOptions } from '../../lib/storage/scs/store.ts';
import { MultipartNotFound, ObjectNotFound, StoreUnavailable } from '../../lib/storage/store.ts';
import { requires } from '../servers/requires.ts';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { storeContract } from './contract.ts';
import { rejects } from './place.ts';

const BUCKET = 'images';

describe('SCS store', () => {
  let server: ScsServer;

  before(async () => {
    server = await startScs();
    await server.createBucket(BUCKET);
  });

  after(async () => {
    await server.stop();
  });

  const options = (more: Partial<ScsOptions> = {}): ScsOptions => ({
    bucket: BUCKET,
    region: undefined,
    endpoint: server.endpoint,
    accessKey: server.accessKey,
    secretKey: server.secretKey,
    rootDirectory: '',
    partSize: 5 * 1024 ** 2,
    retryPolicy: { attempts: 5, totalMs: 0, pauseMs: 20 },
    ...more,
  });

  const open = async (more: Partial<ScsOptions> = {}) => {
    const store = new ScsStore(options(more));
    await store.check();
    return {
      store,
      close: () => {
        store.close();
        return Promise.resolve();
      },
    };
  };

  storeContract('SCS', open, { runs: 30 });

  describe('where SCS is not as it is taken to be:', () => {
    let other: ScsServer;

    before(async () => {
      const habits = { repeatsPrefixes: true, nextMarkerOnlyWithDelimiter: true } as const;
      other = await startScs({ metadata: 'head-and-get', ...habits });
      await other.createBucket(BUCKET);
    });

    after(async () => {
      await other.stop();
    });

    storeContract('SCS', async () => await open({ endpoint: other.endpoint }), {
      metadata: true,
      runs: 30,
    });
  });

  describe('a store on a bucket that gives no metadata', () => {
    it('a store works on a bucket without metadata', async () => {
      const bare = await startScs({ metadata: 'none' });
      await bare.createBucket(BUCKET);
      const { store, close } = await open({ endpoint: bare.endpoint });
      await store.put('a', Buffer.from('x'), { metadata: { hint: '1' } });
      assert.deepEqual((await store.head('a')).metadata, {});
      assert.equal((await store.read('a', 10)).bytes.toString(), 'x');
      await close();
      await bare.stop();
    });
  });

  describe('requests', () => {
    let store: ScsStore;
    let close: () => Promise<void>;
    const operations = () => server.requests.map(({ operation }) => operation);

    beforeEach(async () => {
      ({ store, close } = await open());
      server.reset();
    });

    afterEach(async () => {
      await close();
      server.reset();
    });

    it('a move on SCS is a HEAD and a rename, whatever the size', async () => {
      await store.put('from', randomBytes(10));
      const source = await store.head('from');
      server.reset();
      await store.move('from', 'to', source);
      assert.deepEqual(operations(), ['HeadObject', 'RenameObject']);
    });

    it('a rename on SCS whose response was lost counts as done', async () => {
      await store.put('renamed', Buffer.from('x'));
      const source = await store.head('renamed');
      server.intercept = losing('RenameObject');
      await store.move('renamed', 'new name', source);
      assert.equal((await store.read('new name', 10)).bytes.toString(), 'x');
    });

    it('an interrupted small object of SCS is read again, and a large one fails', async () => {
      const bytes = randomBytes(1000);
      await store.put('cut', bytes);
      server.reset();
      server.intercept = (_, index) => (index === 0 ? 'cut-body' : 'pass');
      assert.ok((await store.read('cut', 1000)).bytes.equals(bytes));
      server.intercept = () => 'cut-body';
      await assert.rejects(buffer((await store.open('cut')).body));
    });

    it('an upload on SCS completed by a request whose response was lost is gone', async () => {
      const id = await store.createMultipart('lost');
      const part = await store.uploadPart('lost', id, 1, Buffer.from('x'));
      server.intercept = losing('CompleteMultipartUpload');
      await rejects(store.completeMultipart('lost', id, [part]), MultipartNotFound, 'lost');
      assert.equal((await store.read('lost', 10)).bytes.toString(), 'x');
    });

    it('a rename on SCS of a missing source is not done', async () => {
      await store.put('target', Buffer.from('x'));
      const etag = (await store.head('target')).etag;
      await rejects(store.move('gone', 'target', { etag, size: 1 }), ObjectNotFound, 'gone');
    });

    it('a listing of SCS asks for 100 keys and continues to the end', async () => {
      const keys = Array.from({ length: 250 }, (_, i) => `many/${String(i).padStart(3, '0')}`);
      await Promise.all(keys.map(async (key) => await store.put(key, Buffer.from('x'))));
      server.reset();
      const found: string[] = [];
      let startAfter = '';
      for (;;) {
        const page = await store.list({ prefix: 'many/', startAfter });
        found.push(...page.objects.map(({ key }) => key));
        if (page.next === undefined) break;
        startAfter = page.next;
      }
      assert.deepEqual(found, keys);
      assert.deepEqual(
        server.requests.map(({ query }) => query.get('max-keys')),
        ['100', '100', '100'],
      );
      await store.delete(keys);
    });

    it('a missing bucket of SCS differs from a missing object', async () => {
      const nowhere = new ScsStore(options({ bucket: 'nowhere' }));
      const error = await nowhere.head('a').catch((reason: unknown) => reason);
      assert.ok(error instanceof StoreUnavailable);
      assert.match(error.message, /check REGISTRY_STORAGE_SCS_BUCKET/);
      nowhere.close();
      await rejects(store.head('nothing'), ObjectNotFound, 'nothing');
    });

    it('an error of SCS does not reveal the signed text', async () => {
      const foreign = new ScsStore(options({ secretKey: 'foreign' }));
      const error = await foreign.put('a', Buffer.from('x')).catch((reason: unknown) => reason);
      foreign.close();
      assert.ok(error instanceof StoreUnavailable && error.cause instanceof Error);
      assert.doesNotMatch(`${error.message} ${error.cause.message}`, /StringToSign|foreign|octet-stream/);
    });

    it('one listing of SCS gives all names of a registry', async () => {
      const names = ['a', 'a/b', 'a/b-c', 'team/app'];
      const below = 'repositories/';
      for (const name of names) {
        await store.put(`${below}${name}/_layers/x`, Buffer.from('x'));
        await store.put(`${below}${name}/_manifests/x`, Buffer.from('x'));
      }
      server.reset();
      const { prefixes } = await store.list({ prefix: below, delimiter: '/_' });
      assert.deepEqual(
        prefixes.map((prefix) => prefix.slice(below.length, -2)),
        ['a', 'a/b-c', 'a/b', 'team/app'],
      );
      assert.equal(server.requests.length, 1);
    });
  });

  describe('a signed URL, asked by curl', requires('curl'), () => {
    const key = 'a dir/x+y=z~1 100%/镜像:tag@1';
    const bytes = Buffer.from('the bytes of a layer');
    let store: ScsStore;
    let close: () => Promise<void>;

    before(async () => {
      ({ store, close } = await open());
      await store.put(key, bytes);
    });

    after(async () => {
      await close();
    });

    const curl = async (url: string, ...more: string[]) => {
      const args = ['--silent', '--show-error', '--write-out', '\n%{http_code}', ...more, url];
      const { stdout } = await promisify(execFile)('curl', args);
      const at = stdout.lastIndexOf('\n');
      return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
    };

    it('a signed URL of SCS serves the object', async () => {
      const url = (await store.signedUrl(key, 1200)).href;
      assert.deepEqual(await curl(url), { status: 200, body: bytes.toString() });
      assert.deepEqual(await curl(url, '--range', '4-8'), { status: 206, body: 'bytes' });
    });

    it('a signed URL of SCS is valid for the given time', async () => {
      const url = await store.signedUrl(key, 1200);
      const left = Number(url.searchParams.get('Expires')) - Date.now() / 1000;
      assert.ok(left > 1190 && left <= 1200, `${left} s`);
    });

    it('an expired signed URL of SCS serves nothing', async () => {
      const { status, body } = await curl((await store.signedUrl(key, -1)).href);
      assert.equal(status, 403);
      assert.match(body, /AccessDenied.*expired/);
    });

    const alterations: Readonly<Record<string, (url: URL) => void>> = {
      'the time': (url) => {
        url.searchParams.set('Expires', String(Number(url.searchParams.get('Expires')) + 1));
      },
      'the object': (url) => {
        url.pathname += '1';
      },
      'the access key': (url) => {
        url.searchParams.set('SOHUCSAccessKeyId', 'OTHER');
      },
      'the signature': (url) => {
        url.searchParams.set('Signature', 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=');
      },
    };
    for (const [what, alter] of Object.entries(alterations))
      it(`an altered signed URL of SCS serves nothing: ${what}`, async () => {
        const url = await store.signedUrl(key, 1200);
        alter(url);
        assert.equal((await curl(url.href)).status, 403);
      });

    it('a signed URL of SCS is read-only', async () => {
      const url = (await store.signedUrl(key, 1200)).href;
      assert.equal((await curl(url, '--request', 'DELETE')).status, 403);
      assert.equal((await curl(url, '--upload-file', import.meta.filename)).status, 403);
      assert.equal((await curl(url)).status, 200);
    });
  });
});

/** Loses the answer of the first request of a kind. */
function losing(operation: string): ScsServer['intercept'] {
  let isLost = false;
  return (request) => {
    if (request.operation !== operation || isLost) return 'pass';
    isLost = true;
    return 'drop-answer';
  };
}
