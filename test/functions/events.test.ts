import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createServices } from '../../lib/compose.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { all } from '../../lib/http/all.ts';
import { createApp, type App } from '../../lib/http/app.ts';
import { createDataPlane } from '../../lib/http/data-plane.ts';
import type { Services } from '../../lib/http/services.ts';
import type { RegistryEvent } from '../../lib/registry/events.ts';
import { readOnly } from '../../lib/registry/wrappers/read-only.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { Client, descriptor, digestOf, imageType, manifest, someName, withDigest } from './client.ts';

const layer = randomBytes(50);
const digest = digestOf(layer);
const image = manifest({ config: descriptor(layer), layers: [descriptor(layer)] });
const blob = {
  content: 'blob',
  reference: { kind: 'digest', digest },
  descriptor: { digest, mediaType: 'application/octet-stream', size: 50 },
};
const imageDigest = digestOf(image);
const imageDescriptor = { digest: imageDigest, mediaType: imageType, size: image.byteLength };
const tagged = (tag: string) => ({ kind: 'tag', tag });

describe('an event', () => {
  let storage: TestStorage;
  let services: Services;
  const servers: Server[] = [];
  const published: (readonly RegistryEvent[])[] = [];
  let client: Client;
  let plane: Client;
  let refusing: Client;
  let name: string;

  const registry = (of: Services) => createApp(all, of);

  /** Serves an application whose events are noted here. */
  async function serve(create: (services: Services) => App, more: Partial<Services> = {}): Promise<Client> {
    const publish = async (events: readonly RegistryEvent[]) => {
      if (events.length > 0) published.push(events);
      await Promise.resolve();
    };
    const app = create({ ...services, publish, ...more });
    const server = createServer((request, response) => void app(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    return new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  before(async () => {
    storage = await folderStorage();
    const environment = {
      ...storage.settings,
      REGISTRY_HTTP_SECRET: 'the secret of a test',
      REGISTRY_LOG_LEVEL: 'error',
    };
    services = await createServices('server', loadConfig('server', environment));
    client = await serve(registry);
    plane = await serve(createDataPlane);
    refusing = await serve(registry, { registry: readOnly(services.registry) });
  });

  beforeEach(async () => {
    name = someName();
    await client.pushBlob(name, layer);
    await client.pushManifest(name, 'v1', image);
    published.length = 0;
  });

  after(() => {
    for (const server of servers) server.close();
    storage.remove();
  });

  /** The published events of each request, without the actor and the bytes of manifests. */
  const told = () =>
    published.map((events) =>
      events.map((event) =>
        Object.fromEntries(
          Object.entries(event).filter(([field]) => !['actor', 'request', 'bytes'].includes(field)),
        ),
      ),
    );

  it('an event names its request, and no actor', async () => {
    const headers = { 'user-agent': 'docker/28' };
    const response = await client.must(200, {
      method: 'GET',
      path: `/v2/${name}/manifests/v1?ns=secret`,
      headers,
    });
    const { host } = new URL(client.base);
    const request = {
      id: response.headers['x-request-id'],
      method: 'GET',
      path: `/v2/${name}/manifests/v1`,
      host,
      protocol: 'http',
      userAgent: 'docker/28',
      address: '127.0.0.1',
    };
    assert.partialDeepStrictEqual(published, [[{ actor: undefined, request }]]);
  });

  describe('of a pushed blob has its size', () => {
    const expected = () => [[{ ...blob, action: 'pushed', repository: name }]];

    it('the event of a pushed blob has its size after an upload in one request', async () => {
      await client.pushBlob(name, layer);
      assert.deepEqual(told(), expected());
    });

    it('the event of a pushed blob has its size if the bytes came with the closing request', async () => {
      const path = withDigest(await client.startUpload(name), digest);
      await client.must(201, { method: 'PUT', path, body: layer, chunked: true });
      assert.deepEqual(told(), expected());
    });

    it('the event of a pushed blob has its size after chunks on the data plane and a repeated closing request', async () => {
      const { pathname, search } = new URL(await client.startUpload(name));
      const next = await plane.sendChunk(pathname + search, 0, layer.subarray(0, 20));
      assert.deepEqual(told(), []);
      const path = withDigest(await plane.sendChunk(next, 20, layer.subarray(20)), digest);
      await plane.must(201, { method: 'PUT', path });
      assert.deepEqual(told(), expected());
      await plane.must(201, { method: 'PUT', path });
      assert.deepEqual(told(), [...expected(), ...expected()]);
    });

    it('the event of a pushed blob has its size if the last bytes came with the closing request', async () => {
      const next = await client.sendChunk(await client.startUpload(name), 0, layer.subarray(0, 20));
      await client.must(201, { method: 'PUT', path: withDigest(next, digest), body: layer.subarray(20) });
      assert.deepEqual(told(), expected());
    });
  });

  it('a pulled blob is one event, when its bytes are served', async () => {
    await client.must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${digest}` });
    assert.deepEqual(told(), []);
    await client.must(200, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
    assert.deepEqual(told(), [[{ ...blob, action: 'pulled', repository: name }]]);
  });

  it('a blob pulled from the data plane is an event', async () => {
    const [repository, bytes] = [name, digest] as unknown as Parameters<Services['urlSigner']['signBlob']>;
    const query = services.urlSigner.signBlob(repository, bytes).toString();
    await plane.must(200, { method: 'GET', path: `/v2/${name}/blobs/${digest}?${query}` });
    assert.deepEqual(told(), [[{ ...blob, action: 'pulled', repository: name }]]);
  });

  it('the event of a mounted blob names the source repository; an upload instead is no event', async () => {
    const to = someName();
    const path = `/v2/${to}/blobs/uploads/?mount=${digest}`;
    await client.must(202, { method: 'POST', path: `${path}&from=${someName()}` });
    assert.deepEqual(told(), []);
    await client.must(201, { method: 'POST', path: `${path}&from=${name}` });
    await client.must(201, { method: 'POST', path });
    assert.deepEqual(told(), [
      [{ ...blob, action: 'mounted', repository: to, from: name }],
      [{ ...blob, action: 'mounted', repository: to, from: undefined }],
    ]);
  });

  it('the event of a manifest pushed by tag is followed by the event of the tag', async () => {
    await client.pushManifest(name, 'v2', image);
    const about = {
      repository: name,
      content: 'manifest',
      reference: tagged('v2'),
      descriptor: imageDescriptor,
    };
    assert.deepEqual(told(), [
      [
        { ...about, action: 'pushed' },
        { ...about, action: 'tagged' },
      ],
    ]);
  });

  it('the event of a manifest pushed by digest is followed by one for each tag in the request', async () => {
    const path = `/v2/${name}/manifests/${imageDigest}`;
    const put = { method: 'PUT', headers: { 'content-type': imageType }, body: image };
    await client.must(201, { ...put, path: `${path}?tag=v2&tag=v3&tag=v2` });
    await client.must(201, { ...put, path });
    const about = { repository: name, content: 'manifest', descriptor: imageDescriptor };
    const pushed = { ...about, action: 'pushed', reference: { kind: 'digest', digest: imageDigest } };
    assert.deepEqual(told(), [
      [pushed, ...['v2', 'v3'].map((tag) => ({ ...about, action: 'tagged', reference: tagged(tag) }))],
      [pushed],
    ]);
  });

  it('the event of a pulled manifest has the requested reference and the descriptor', async () => {
    await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/${imageDigest}` });
    const about = {
      action: 'pulled',
      repository: name,
      content: 'manifest',
      descriptor: imageDescriptor,
    };
    assert.deepEqual(told(), [
      [{ ...about, reference: tagged('v1') }],
      [{ ...about, reference: { kind: 'digest', digest: imageDigest } }],
    ]);
  });

  it('the event of a deletion has the reference of the request', async () => {
    for (const path of ['manifests/v1', `manifests/${imageDigest}`, `blobs/${digest}`])
      await client.must(202, { method: 'DELETE', path: `/v2/${name}/${path}` });
    const about = { action: 'deleted', repository: name, content: 'manifest' };
    assert.deepEqual(told(), [
      [{ ...about, reference: tagged('v1') }],
      [{ ...about, reference: { kind: 'digest', digest: imageDigest } }],
      [{ ...about, content: 'blob', reference: blob.reference }],
    ]);
  });

  it('failed and refused requests and listings are no events', async () => {
    const none = digestOf(Buffer.from('none'));
    const put = { method: 'PUT', headers: { 'content-type': imageType }, body: image };
    const conditional = { ...put, headers: { ...put.headers, 'if-none-match': '*' } };
    for (const [status, ask] of [
      [404, { ...put, path: `/v2/${someName()}/manifests/v1` }],
      [400, { ...put, path: `/v2/${name}/manifests/${none}` }],
      [412, { ...conditional, path: `/v2/${name}/manifests/v1` }],
      [404, { method: 'GET', path: `/v2/${name}/manifests/none` }],
      [412, { method: 'GET', path: `/v2/${name}/manifests/v1`, headers: { 'if-match': `"${none}"` } }],
      [404, { method: 'DELETE', path: `/v2/${name}/manifests/none` }],
      [404, { method: 'DELETE', path: `/v2/${name}/blobs/${none}` }],
      [404, { method: 'GET', path: `/v2/${name}/blobs/${none}` }],
      [400, { method: 'POST', path: `/v2/${name}/blobs/uploads/?digest=${none}`, body: layer }],
      [200, { method: 'GET', path: `/v2/${name}/tags/list` }],
      [200, { method: 'GET', path: '/v2/_catalog' }],
      [200, { method: 'GET', path: `/v2/${name}/referrers/${none}` }],
    ] as const)
      await client.must(status, ask);
    for (const ask of [
      { ...put, path: `/v2/${name}/manifests/v1` },
      { method: 'DELETE', path: `/v2/${name}/manifests/v1` },
      { method: 'POST', path: `/v2/${name}/blobs/uploads/?mount=${digest}&from=${name}` },
    ])
      await refusing.must(405, ask);
    assert.deepEqual(told(), []);
  });
});
