import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import {
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
  type BucketLifecycleConfiguration,
} from '@aws-sdk/client-s3';
import { inParallel } from '../../lib/concurrency/in-parallel.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import { runStowage } from '../infra/run-node.ts';
import { bucketProxy } from '../servers/bucket-proxy.ts';
import { minio } from '../servers/minio.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage, openS3, type TestStorage } from '../servers/storage.ts';
import { versitygw } from '../servers/versitygw.ts';

// Characters that the markers of pages escape.
const rootDirectory = 'my images+ü';

const servers = [
  ['MinIO', 'minio', minio],
  ['versitygw', 'versitygw', async () => await versitygw({ versions: true })],
] as const;

function clientOf({ endpoint, region, accessKey, secretKey }: S3Server): S3Client {
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };
  return new S3Client({ endpoint, region, forcePathStyle: true, credentials });
}

for (const [name, needs, start] of servers)
  describe(`a bucket with versions on ${name}`, requires(needs), () => {
    let server: S3Server;
    let client: S3Client;

    before(async () => {
      server = await start();
      client = clientOf(server);
    });

    after(async () => {
      client.destroy();
      await server.stop();
    });

    const newBucket = async (): Promise<TestStorage> => {
      const storage = await bucketStorage(server, { REGISTRY_STORAGE_S3_ROOTDIRECTORY: rootDirectory });
      const Bucket = storage.settings['REGISTRY_STORAGE_S3_BUCKET'];
      const versioning = { Status: 'Enabled' } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: versioning }));
      return storage;
    };

    it('tells what deletes and overwrites have left below a prefix, page by page', async () => {
      const store = await openS3((await newBucket()).settings);
      const some = Buffer.alloc(10);
      const keys = Array.from({ length: 700 }, (_, i) => `here/${i}`);
      await inParallel(keys, 20, async (key) => await store.put(key, some));
      // Two versions of a key may be on two pages.
      await inParallel(keys, 20, async (key) => await store.put(key, some.subarray(1)));
      await store.put('there', some);
      await store.put('there', some);
      const listed: number[] = [];
      const count = await store.noncurrentVersions('here/', (versions) => listed.push(versions));
      assert.deepEqual(count, { versions: 700, bytes: 7000, deleteMarkers: 0 });
      assert.deepEqual(listed, [1000, 1400]);
      await store.delete(keys.slice(0, 300));
      assert.deepEqual(await store.noncurrentVersions('here/'), {
        versions: 1000,
        bytes: 7000 + 300 * 9,
        deleteMarkers: 300,
      });
      store.close();
    });

    it('is described by stowage usage and gc, with the rule that empties it', async () => {
      const storage = await newBucket();
      const store = await openS3(storage.settings);
      await store.put('docker/registry/v2/uploads/1/data', Buffer.alloc(1000));
      await store.delete(['docker/registry/v2/uploads/1/data']);
      await store.put('elsewhere', Buffer.alloc(1000));
      await store.delete(['elsewhere']);
      store.close();
      for (const command of [['usage'], ['gc', '--dry-run']]) {
        const { output } = await runStowage(command, storage.settings);
        assert.match(
          output,
          /^1 noncurrent version with 1\.0 kB, and 1 delete marker, beside the bytes above$/m,
        );
        const { noncurrent, keepsVersions, noncurrentProblem } = JSON.parse(
          (await runStowage([...command, '--json'], storage.settings)).output,
        ) as Record<string, unknown>;
        assert.deepEqual(noncurrent, { versions: 1, bytes: 1000, deleteMarkers: 1 });
        assert.deepEqual([keepsVersions, noncurrentProblem], [true, null]);
        const rules = /put-bucket-lifecycle-configuration .* --lifecycle-configuration '(.*)'$/m.exec(
          output,
        )?.[1];
        const configuration = JSON.parse(rules ?? '') as BucketLifecycleConfiguration;
        assert.equal(configuration.Rules?.[0]?.Filter?.Prefix, `${rootDirectory}/docker/registry/v2/`);
        // versitygw keeps no rules.
        if (name === 'versitygw') continue;
        const Bucket = storage.settings['REGISTRY_STORAGE_S3_BUCKET'];
        await client.send(
          new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: configuration }),
        );
      }
    });
  });

describe('stowage usage on a bucket whose versions may not be listed', requires('minio'), () => {
  it('says what right is missing, and shows the rest', async () => {
    const server = await minio();
    const proxy = await bucketProxy(server.endpoint);
    const storage = await bucketStorage({ ...server, endpoint: proxy.endpoint });
    const store = await openS3(storage.settings);
    await store.put(`docker/registry/v2/blobs/sha256/aa/${'aa'.repeat(32)}/data`, Buffer.alloc(1000));
    store.close();
    const says = async (refused: 'versions' | 'versioning') => {
      proxy.intercept = ({ query }) => (query.has(refused) ? { status: 403, code: 'AccessDenied' } : 'pass');
      const { output, code } = await runStowage(['usage'], storage.settings);
      assert.equal(code, 0);
      assert.match(output, /^1\.0 kB in 1 blob and 0 repositories$/m);
      return output;
    };
    const bucket = storage.settings['REGISTRY_STORAGE_S3_BUCKET'] ?? '';
    const client = clientOf(server);
    const versioning = { Status: 'Enabled' } as const;
    await client.send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: versioning }),
    );
    assert.ok(
      (await says('versions')).includes(
        `They are not counted: the key needs the right s3:ListBucketVersions on the bucket ${bucket}.\n`,
      ),
    );
    assert.match(await says('versioning'), /^The bucket does not tell whether it keeps versions/m);
    client.destroy();
    await proxy.stop();
    await server.stop();
  });
});

describe('a bucket whose versions cannot be counted', () => {
  const versions = (rest: string) => `<ListVersionsResult>${rest}</ListVersionsResult>`;
  const endless = '<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>';
  for (const [what, status, body, problem] of [
    [
      'without the right',
      403,
      '<Error><Code>AccessDenied</Code><Message>no</Message></Error>',
      'the key needs the right s3:ListBucketVersions on the bucket images',
    ],
    [
      'on a server without versions',
      501,
      '<Error><Code>NotImplemented</Code><Message>A header you provided</Message></Error>',
      /answered 501 \(NotImplemented\)/,
    ],
    ['on no S3', 200, '<html></html>', /answered 200, which is not how S3 answers/],
    [
      'on a server that repeats a page',
      200,
      versions(endless),
      'the list of versions of images does not go on after a page',
    ],
  ] as const)
    it(`says why: ${what}`, async () => {
      const server = createServer((_, response) => {
        response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const store = new S3Store({
        endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        region: 'eu-central-1',
        bucket: 'images',
        rootDirectory: '',
        partSize: 5 * 1024 ** 2,
        forcePathStyle: true,
        credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
      });
      try {
        await assert.rejects(store.noncurrentVersions('docker/'), { message: problem });
      } finally {
        store.close();
        server.closeAllConnections();
        server.close();
      }
    });
});
