import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { bucketProxy, type BucketProxy, type Fate } from './bucket-proxy.ts';
import { s3Kinds, type S3Kind } from './buckets.ts';
import { temporaryFolder } from './folder.ts';
import { requires } from './requires.ts';
import type { S3Server } from './s3.ts';

const Bucket = 'bucket';

for (const kind of s3Kinds)
  describe(`${kind.name} under test`, requires(...kind.needs), () => {
    underTest(kind);
  });

function underTest(kind: S3Kind): void {
  let server: S3Server;
  let proxy: BucketProxy;
  let client: S3Client;

  before(async () => {
    server = await kind.start();
    await server.createBucket(Bucket);
    proxy = await bucketProxy(server.endpoint);
    client = clientOf(server, proxy.endpoint);
  });

  afterEach(() => {
    proxy.reset();
  });

  after(async () => {
    client.destroy();
    await proxy.stop();
    await server.stop();
  });

  it('keeps objects, whatever their keys, and lists them', async () => {
    const keys = ['with space', '+plus', '100%25', 'q?a=b&c#d', '<&>', '中文', '\u{1f4e6}'];
    for (const key of keys) await put(client, `keys/${key}`, key);
    for (const key of keys) assert.equal(await get(client, `keys/${key}`), key);
    assert.deepEqual(await list(client, 'keys/'), keys.map((key) => `keys/${key}`).sort(bytewise));
  });

  it('the test server takes 32 concurrent requests', async () => {
    const keys = Array.from({ length: 32 }, (_, index) => `many/${index}`);
    const puts = keys.map(async (key) => {
      await put(client, key, key);
    });
    await Promise.all(puts);
    assert.deepEqual(await Promise.all(keys.map(async (key) => await get(client, key))), keys);
  });

  it('the test server runs beside another and leaves nothing behind', async () => {
    // Other test files have theirs in the system's temporary folder.
    const temporary = await temporaryFolder('server-test');
    const second = await startedIn(kind, temporary.path);
    assert.ok((await processesOf(temporary.path)) > 0);
    const secondClient = clientOf(second, second.endpoint);
    await second.createBucket(Bucket);
    await put(secondClient, 'mine', 'second');
    await put(client, 'mine', 'first');
    assert.equal(await get(secondClient, 'mine'), 'second');
    assert.equal(await get(client, 'mine'), 'first');
    secondClient.destroy();
    await second.stop();
    assert.deepEqual(await readdir(temporary.path), []);
    assert.equal(await processesOf(temporary.path), 0);
    temporary.remove();
  });

  it('the proxy names requests as S3 does', async () => {
    await put(client, 'a b/+%', 'x');
    await get(client, 'a b/+%');
    await list(client, 'a b/');
    const seen = proxy.requests.map(({ operation, key }) => [operation, key]);
    assert.deepEqual(seen, [
      ['PutObject', 'a b/+%'],
      ['GetObject', 'a b/+%'],
      ['ListObjectsV2', ''],
    ]);
    assert.equal(proxy.requests[2]?.query.get('prefix'), 'a b/');
  });

  it('the test server does not get a dropped request', async () => {
    proxy.intercept = () => 'drop-request';
    await assert.rejects(put(client, 'dropped', 'x'));
    proxy.reset();
    await assert.rejects(head(client, 'dropped'), { name: 'NotFound' });
  });

  it('the test server has handled a request whose response is dropped', async () => {
    proxy.intercept = () => 'drop-answer';
    await assert.rejects(put(client, 'done', 'x'));
    proxy.reset();
    assert.equal(await get(client, 'done'), 'x');
  });

  it('the test server does not get a request that the proxy answers', async () => {
    proxy.intercept = () => ({ status: 503, code: 'SlowDown' });
    await assert.rejects(put(client, 'slow', 'x'), { name: 'SlowDown' });
    proxy.reset();
    await assert.rejects(head(client, 'slow'), { name: 'NotFound' });
  });

  it('the test server gets a request only when the test releases it', async () => {
    proxy.intercept = async ({ operation }, index): Promise<Fate> => {
      if (index === 0 && operation === 'GetObject') await put(client, 'first', 'by the test');
      return 'pass';
    };
    assert.equal(await get(client, 'first'), 'by the test');
  });
}

function clientOf(server: S3Server, endpoint: string): S3Client {
  return new S3Client({
    endpoint,
    region: server.region,
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
  });
}

async function put(client: S3Client, Key: string, Body: string): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket, Key, Body }));
}

async function get(client: S3Client, Key: string): Promise<string | undefined> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  return await Body?.transformToString();
}

async function head(client: S3Client, Key: string): Promise<void> {
  await client.send(new HeadObjectCommand({ Bucket, Key }));
}

async function list(client: S3Client, Prefix: string): Promise<(string | undefined)[]> {
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket, Prefix }));
  return Contents.map(({ Key }) => Key);
}

function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Starts a server in a subfolder. */
async function startedIn(kind: S3Kind, folder: string): Promise<S3Server> {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
  try {
    return await kind.start();
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
}

/** How many processes were started with a path in a folder. */
async function processesOf(folder: string): Promise<number> {
  const entries = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = entries.map(async (pid) => await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  return (await Promise.all(commands)).filter((line) => line.includes(`${folder}/`)).length;
}
