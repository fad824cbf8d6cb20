import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { handler as copy } from '../../functions/copy.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { readBlobs, writeImage } from '../clients/images.ts';
import { keepSecrets } from '../logs/kept.ts';
import { onVersitygw, type Buckets } from '../servers/buckets.ts';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { startGateway, type Gateway } from '../servers/gateway.ts';
import { handlers } from '../servers/handlers.ts';
import { startLambda, type Invocations } from '../servers/lambda.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { Client, descriptor, digestOf, manifest, someName } from './client.ts';

const MiB = 1024 ** 2;

/** This registry is the upstream: one that redirects to its bucket, and one that sends all bytes itself. */
describe('functions that are a cache of registries', requires('versitygw'), () => {
  let buckets: Buckets;
  let lambda: Invocations;
  let gateway: Gateway;
  let client: Client;
  const upstreams: StreamingServer[] = [];

  before(async () => {
    buckets = await onVersitygw.start();
    const remote = await buckets.newBucket();
    const port = await freePort(2);
    for (const [at, disabled] of [
      [port, 'false'],
      [port + 1, 'true'],
    ] as const)
      upstreams.push(
        await startServer(
          'server',
          loadConfig('server', {
            ...remote.settings,
            REGISTRY_HTTP_ADDR: `127.0.0.1:${at}`,
            REGISTRY_STORAGE_REDIRECT_DISABLE: disabled,
            REGISTRY_LOG_LEVEL: 'error',
          }),
        ),
      );
    lambda = await startLambda({ 'stowage-test-copy': copy });
    const [redirects, sends] = upstreams.map(({ url }) => url);
    const entry = { insecure: true, privateaddresses: true };
    const settings = {
      REGISTRY_HTTP_SECRET: 'the secret of a test, which is long',
      REGISTRY_LOG_LEVEL: 'error',
      ...(await buckets.newBucket()).settings,
      REGISTRY_PROXY_COPYFUNCTION: 'stowage-test-copy',
      REGISTRY_PROXY_UPSTREAMS: JSON.stringify([
        { ...entry, prefix: 'redirects/**', url: redirects, ns: 'a' },
        { ...entry, prefix: 'sends/**', url: sends, ns: 'b' },
        // Another user makes it another upstream: what is refused for one is not for the other.
        {
          ...entry,
          ...{ prefix: 'hidden/**', url: redirects, privateaddresses: false, ns: 'c' },
          ...{ username: 'somebody', password: 'a password of a test' },
        },
      ]),
      AWS_ENDPOINT_URL_LAMBDA: lambda.url,
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'a test',
      AWS_SECRET_ACCESS_KEY: 'a key of a test',
    };
    keepSecrets(settings);
    Object.assign(process.env, settings);
    gateway = await startGateway(handlers);
    client = new Client(gateway.url);
  });

  beforeEach(() => {
    lambda.invoked.length = 0;
  });

  after(async () => {
    await gateway.stop();
    await lambda.settled();
    await lambda.stop();
    for (const server of upstreams) await server.stop();
    await buckets.stop();
  });

  /** An image that the upstreams have. */
  async function pushed(size: number) {
    const name = someName();
    const upstream = new Client(upstreams[1]?.url ?? '');
    const layer = randomBytes(size);
    const config = Buffer.from(`{"os":"linux","architecture":"amd64","a":"${name}"}`);
    for (const bytes of [layer, config]) await upstream.pushBlob(name, bytes);
    const image = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    await upstream.pushManifest(name, 'v1', image);
    return { name, layer, image, digest: digestOf(layer) };
  }

  const get = async (status: number, path: string) => await client.must(status, { method: 'GET', path });

  /** Where a client that pulls a blob is sent, with what it gets there. */
  async function pulled(path: string): Promise<{ readonly url: URL; readonly bytes: Buffer }> {
    const { headers } = await get(307, path);
    const url = new URL(headers.location ?? '');
    return { url, bytes: Buffer.from(await (await fetch(url)).arrayBuffer()) };
  }

  const bucketOf = ({ pathname }: URL) => pathname.split('/')[1];

  it('send a client to where the upstream has a blob, and copy it meanwhile', async () => {
    const { name, layer, image, digest } = await pushed(5 * MiB);
    const found = await get(200, `/v2/redirects/${name}/manifests/v1`);
    assert.deepEqual(found.body, image);
    const path = `/v2/redirects/${name}/blobs/${digest}`;
    const { headers } = await client.must(200, { method: 'HEAD', path });
    assert.equal(headers['content-length'], String(layer.length));
    assert.deepEqual(lambda.invoked, []);
    const first = await pulled(path);
    assert.deepEqual(first.bytes, layer);
    const event = { repository: `redirects/${name}`, digest, turn: 1 };
    assert.deepEqual(lambda.invoked, [{ name: 'stowage-test-copy', event }]);
    await lambda.settled();
    const second = await pulled(path);
    assert.deepEqual(second.bytes, layer);
    assert.notEqual(bucketOf(second.url), bucketOf(first.url));
    assert.equal(bucketOf(second.url), process.env['REGISTRY_STORAGE_S3_BUCKET']);
    assert.equal(lambda.invoked.length, 1);
  });

  it('have 64 clients make one copy', async () => {
    const { name, digest } = await pushed(5 * MiB);
    const path = `/v2/redirects/${name}/blobs/${digest}`;
    await Promise.all(Array.from({ length: 64 }, async () => await get(307, path)));
    assert.equal(lambda.invoked.length, 1);
    await lambda.settled();
    assert.equal(bucketOf((await pulled(path)).url), process.env['REGISTRY_STORAGE_S3_BUCKET']);
  });

  it('store a small blob that the upstream sends itself at once', async () => {
    const { name, layer, digest } = await pushed(MiB);
    const { url, bytes } = await pulled(`/v2/sends/${name}/blobs/${digest}`);
    assert.deepEqual(bytes, layer);
    assert.equal(bucketOf(url), process.env['REGISTRY_STORAGE_S3_BUCKET']);
    assert.deepEqual(lambda.invoked, []);
  });

  it('answer 503 to a large one until it is copied', async () => {
    const { name, layer, digest } = await pushed(5 * MiB);
    const path = `/v2/sends/${name}/blobs/${digest}`;
    const { headers, body } = await get(503, path);
    assert.equal(headers['retry-after'], '10');
    assert.match(body.toString(), /UNAVAILABLE.*is being copied/);
    await lambda.settled();
    assert.deepEqual((await pulled(path)).bytes, layer);
  });

  it('send nobody to an address that is not public, unless the upstream may have one', async () => {
    const { name, digest } = await pushed(5 * MiB);
    const { body } = await get(503, `/v2/hidden/${name}/blobs/${digest}`);
    assert.doesNotMatch(body.toString(), /127\.0\.0\.1/);
    assert.deepEqual(lambda.invoked, []);
  });

  it('go on with a copy in another invocation when the time of one is over', async () => {
    const { name, layer, digest } = await pushed(33 * MiB);
    const blob = { repository: `sends/${name}`, digest };
    await copy(blob, { getRemainingTimeInMillis: () => 30_000 });
    assert.deepEqual(lambda.invoked, [{ name: 'stowage-test-copy', event: { ...blob, turn: 2 } }]);
    await lambda.settled();
    assert.deepEqual((await pulled(`/v2/sends/${name}/blobs/${digest}`)).bytes, layer);
    assert.equal(lambda.invoked.length, 1);
  });

  it('take no pushes, and copy nothing but what a cache lacks', async () => {
    await client.must(405, { method: 'POST', path: '/v2/redirects/team/app/blobs/uploads/' });
    const digest = digestOf(randomBytes(1));
    for (const event of [
      undefined,
      {},
      { repository: 'team/app', digest },
      { repository: 'redirects/a', digest: 'x' },
    ])
      await assert.rejects(copy(event), /names no blob of a cache/);
    await get(404, `/v2/redirects/team/app/blobs/${digest}`);
    assert.deepEqual(lambda.invoked, []);
  });

  it('give docker an image, also one whose layers must be copied first', requires('dockerd'), async () => {
    const folder = await temporaryFolder('cache-image');
    const daemon = await dockerd(temporaryFolder);
    try {
      const layout = await writeImage(folder.path, [1000, 5 * MiB]);
      const upstream = new Client(upstreams[1]?.url ?? '');
      const name = someName();
      const read = async (digest: string) =>
        await readFile(join(layout.folder, 'blobs', digest.replace(':', '/')));
      for (const digest of await readBlobs(layout.folder))
        if (digest !== layout.digest) await upstream.pushBlob(name, await read(digest));
      await upstream.pushManifest(name, 'v1', await read(layout.digest));
      for (const prefix of ['sends', 'redirects']) {
        const image = `${gateway.url.replace('http://', '')}/${prefix}/${name}:v1`;
        const { text } = await daemon.docker('pull', image);
        assert.match(text, /Downloaded newer image/);
        await daemon.docker('rmi', image);
      }
    } finally {
      await daemon.stop();
      folder.remove();
    }
  });
});
