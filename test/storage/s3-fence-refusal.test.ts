import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { loadConfig } from '../../lib/config/config.ts';
import type { S3Options } from '../../lib/storage/s3/bucket.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import { StoreUnavailable } from '../../lib/storage/store.ts';
import { bucketProxy, type BucketProxy, type BucketRequest, type Fate } from '../servers/bucket-proxy.ts';
import { onMinio, onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { ministack, region, rootKey, type Ministack } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';
import { rejects } from './place.ts';

const place = { bucket: 'images', forcePathStyle: true, rootDirectory: '', partSize: 5 * 1024 ** 2 };

describe('fences on the emulator of AWS', requires('ministack'), () => {
  let emulator: Ministack;

  before(async () => {
    emulator = await ministack();
  });
  after(async () => {
    await emulator.stop();
  });

  it('are enforced, and nothing is left', async () => {
    await emulator.aws.s3.send(new CreateBucketCommand({ Bucket: place.bucket }));
    const credentials = { accessKeyId: rootKey, secretAccessKey: 'test' };
    const store = new S3Store({ ...place, endpoint: emulator.url, region, credentials });
    assert.equal(await store.fencing.refusal(), undefined);
    assert.deepEqual((await store.list({})).objects, []);
    store.close();
  });
});

const enabled = '<Status>Enabled</Status>';
const disabled = '<Status>Disabled</Status>';
const markers = `<DeleteMarkerReplication>${enabled}</DeleteMarkerReplication>`;
for (const [what, rules, refused] of [
  ['with a rule', `<Rule><ID>all</ID>${enabled}<Priority>1</Priority></Rule>`, true],
  ['with several', `<Rule>${disabled}</Rule><Rule>${markers}${enabled}</Rule>`, true],
  ['with a rule that is disabled', `<Rule>${markers}${disabled}</Rule>`, false],
] as const)
  it(`fences ${refused ? 'are not enough' : 'may do'} for a bucket that replicates ${what}`, async () => {
    const replication = `<ReplicationConfiguration>${rules}</ReplicationConfiguration>`;
    const list = '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>';
    const server = createServer(({ url = '', method }, response) => {
      const body = url.includes('replication') ? replication : list;
      // Whatever is written is refused, which shows that it was tried.
      response.writeHead(method === 'GET' ? 200 : 403).end(method === 'GET' ? body : undefined);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };
    const store = new S3Store({ ...place, endpoint: `http://127.0.0.1:${port}`, region, credentials });
    try {
      if (refused) assert.match((await store.fencing.refusal()) ?? '', /replicates objects to another/);
      else await rejects(store.fencing.refusal(), StoreUnavailable);
    } finally {
      store.close();
      server.closeAllConnections();
      server.close();
    }
  });

for (const kind of [onVersitygw, onMinio])
  describe(`whether ${kind.name} enforces fences`, requires(...kind.needs), () => {
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
      store = new S3Store(options);
    });
    beforeEach(() => {
      proxy.reset();
    });
    after(async () => {
      store.close();
      await proxy.stop();
      await buckets.stop();
    });

    const asksReplication = ({ method, query }: BucketRequest) =>
      method === 'GET' && query.has('replication');
    const answering = (which: (request: BucketRequest) => boolean, fate: Fate) => {
      proxy.intercept = (request) => (which(request) ? fate : 'pass');
    };
    const isLate = ({ query }: BucketRequest) => {
      const signed = query.get('X-Amz-Date')?.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
      return signed !== undefined && Date.parse(signed) < Date.now() - 2 * 60_000;
    };
    const keys = async () => (await store.list({})).objects.map(({ key }) => key);

    it('is tried with changes in time and late ones', async () => {
      assert.equal(await store.fencing.refusal(), undefined);
      assert.deepEqual(
        proxy.requests.map((request) => [
          asksReplication(request) ? 'GetBucketReplication' : request.operation,
          isLate(request),
        ]),
        [
          ['ListObjectsV2', false],
          ['GetBucketReplication', false],
          ['PutObject', false],
          ['PutObject', true],
          ['DeleteObjects', true],
          ['DeleteObjects', false],
          ['DeleteObjects', false],
        ],
      );
      assert.deepEqual(await keys(), []);
    });

    for (const operation of ['PutObject', 'DeleteObjects'])
      it(`is not so if a late ${operation} is accepted`, async () => {
        answering((request) => isLate(request) && request.operation === operation, { status: 200 });
        assert.match((await store.fencing.refusal()) ?? '', /accepts requests whose signature has expired/);
        proxy.reset();
        assert.deepEqual(await keys(), []);
      });

    it('cannot be told if changes in time are refused', async () => {
      answering(({ query, operation }) => query.has('X-Amz-Date') && operation === 'PutObject', {
        status: 400,
        code: 'InvalidRequest',
      });
      await rejects(store.fencing.refusal(), StoreUnavailable);
    });

    it('does not depend on the right to ask for replication', async () => {
      for (const [status, code] of [
        [403, 'AccessDenied'],
        [404, 'ReplicationConfigurationNotFoundError'],
        [501, 'NotImplemented'],
      ] as const) {
        answering(asksReplication, { status, code });
        assert.equal(await store.fencing.refusal(), undefined);
      }
    });
  });
