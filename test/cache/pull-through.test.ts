import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Client, descriptor, digestOf, indexType, manifest } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import type { RegistryProxy } from '../servers/registry-proxy.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage } from '../servers/storage.ts';
import { alice, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { until } from '../notifications/delivering.ts';
import { receiver } from '../notifications/receiver.ts';
import { accept, pullImage, pushUpstream } from './pulled-images.ts';

const MiB = 1024 ** 2;

describe('a server that is a cache of registries', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  const servers: StreamingServer[] = [];
  const undo: (() => void)[] = [];

  before(async () => {
    upstreams = await startUpstreams();
  });

  after(async () => {
    for (const server of servers) await server.stop();
    await upstreams.stop();
    for (const each of undo) each();
  });

  const pushed = async () => await pushUpstream(upstreams.store, randomBytes(2 * MiB));

  /** @param more of its upstream @param settings of the registry */
  async function start(
    upstream: RegistryProxy,
    more: object = {},
    settings: Readonly<Record<string, string>> = {},
  ): Promise<Client> {
    const storage = await folderStorage();
    undo.push(() => {
      storage.remove();
    });
    const entry = {
      prefix: 'mirror/**',
      url: upstream.url.origin,
      insecure: true,
      privateaddresses: true,
      username: alice.user,
      password: alice.password,
      freshness: '1s',
      ...more,
    };
    const server = await startServer(
      'server',
      loadConfig('server', {
        ...storage.settings,
        REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
        REGISTRY_HTTP_SECRET: 'the secret of a test',
        REGISTRY_LOG_LEVEL: 'error',
        REGISTRY_PROXY_UPSTREAMS: JSON.stringify([entry]),
        ...settings,
      }),
    );
    servers.push(server);
    return new Client(server.url);
  }

  for (const [what, proxy] of [
    ['this registry, with tokens', () => upstreams.withTokens],
    ['distribution, with basic authentication', () => upstreams.withBasic],
  ] as const)
    it(`an image of ${what} comes through, by its prefix and by its host in ns`, async () => {
      const image = await pushed();
      const client = await start(proxy(), { ns: 'images.example.com' });
      await pullImage(client, `mirror/${image.name}`, image);
      await pullImage(client, image.name, image, { query: '?ns=images.example.com' });
      // Another host is none of the cache's.
      const path = `/v2/${image.name}/manifests/v1?ns=docker.io`;
      assert.equal((await client.send({ method: 'GET', path })).status, 404);
    });

  for (const [what, proxy] of [
    ['tokens', () => upstreams.withTokens],
    ['basic authentication', () => upstreams.withBasic],
  ] as const)
    it(`a tag that has not moved costs the upstream one HEAD, with ${what}`, async () => {
      const image = await pushed();
      const client = await start(proxy());
      const path = `/v2/mirror/${image.name}/manifests/v1`;
      await client.must(200, { method: 'GET', path, headers: accept });
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      proxy().reset();
      // Registries count each GET of a manifest as a pull.
      await client.must(200, { method: 'GET', path, headers: accept });
      assert.deepEqual(
        proxy().requests.map(({ method, url }) => `${method} ${url}`),
        [`HEAD /v2/${image.name}/manifests/v1`],
      );
    });

  it('URLs in a manifest are asked by nobody (CVE-2020-15157)', async () => {
    const elsewhere = await receiver();
    undo.push(() => void elsewhere.stop());
    const image = await pushed();
    const urls = [`${elsewhere.url}/layer`];
    const foreign = randomBytes(100);
    const bytes = manifest({
      config: descriptor(image.config),
      layers: [
        { ...descriptor(image.layer), urls },
        { ...descriptor(foreign, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'), urls },
      ],
    });
    const put = createRegistry(upstreams.store).manifests;
    await put.put(parseRepositoryName(image.name), { kind: 'tag', tag: 'urls' } as never, bytes, undefined);
    const client = await start(upstreams.withTokens);
    const get = async (path: string) =>
      await client.send({ method: 'GET', path: `/v2/mirror/${image.name}/${path}`, headers: accept });
    assert.deepEqual((await get('manifests/urls')).body, bytes);
    assert.deepEqual((await get(`blobs/${digestOf(image.layer)}`)).body, image.layer);
    // The upstream does not have it, and who pulls asks the URL.
    assert.equal((await get(`blobs/${digestOf(foreign)}`)).status, 404);
    assert.deepEqual(elsewhere.received, []);
  });

  it('tags and referrers are those of the upstream, and of what was pulled while it is down', async () => {
    const image = await pushed();
    const registry = createRegistry(upstreams.store);
    const repository = parseRepositoryName(image.name);
    const subject = { mediaType: indexType, digest: digestOf(image.index), size: image.index.length };
    const signature = manifest({
      config: descriptor(image.config),
      layers: [],
      artifactType: 'application/x-signature',
      subject,
    });
    await registry.manifests.put(repository, { kind: 'tag', tag: 'v2' } as never, signature, undefined);
    const client = await start(upstreams.withTokens);
    const name = `mirror/${image.name}`;
    const get = async (path: string) => await client.must(200, { method: 'GET', path });
    const read = async (path: string) => {
      const { headers, body } = await get(path);
      return { json: JSON.parse(body.toString()) as Record<string, unknown>, headers };
    };
    await get(`/v2/${name}/manifests/v1`);
    const tags = await read(`/v2/${name}/tags/list?n=1`);
    assert.deepEqual(tags.json, { name, tags: ['v1'] });
    assert.equal(tags.headers['link'], `</v2/${name}/tags/list?last=v1&n=1>; rel="next"`);
    assert.deepEqual((await read(`/v2/${name}/tags/list?last=v1&n=1`)).json, { name, tags: ['v2'] });
    const path = `/v2/${name}/referrers/${subject.digest}?artifactType=application/x-signature`;
    const referrers = await read(path);
    const [found] = referrers.json['manifests'] as [{ readonly digest: string }];
    assert.equal(found.digest, digestOf(signature));
    assert.equal(referrers.headers['oci-filters-applied'], 'artifactType');

    upstreams.withTokens.fate = () => 'drop';
    const stale = await read(`/v2/${name}/tags/list`);
    assert.deepEqual(stale.json, { name, tags: ['v1'] });
    assert.equal(stale.headers.warning, '110 - "Response is Stale"');
    const without = await read(path);
    assert.deepEqual(without.json['manifests'], []);
    assert.equal(without.headers.warning, '110 - "Response is Stale"');
    upstreams.withTokens.reset();
  });

  it('a push is refused at its start', async () => {
    const client = await start(upstreams.withBasic);
    for (const ask of [
      { method: 'POST', path: '/v2/mirror/team/app/blobs/uploads/' },
      { method: 'PUT', path: '/v2/mirror/team/app/manifests/v1', body: Buffer.from('{}') },
    ]) {
      const { status, body } = await client.send(ask);
      assert.equal(status, 405);
      assert.match(body.toString(), /mirror\/team\/app is a cache of 127\.0\.0\.1/);
    }
    const own = await client.send({ method: 'POST', path: '/v2/team/app/blobs/uploads/' });
    assert.equal(own.status, 202);
  });

  it('a tag is answered with a warning while the upstream is down, and nothing else is made up', async () => {
    const image = await pushed();
    const client = await start(upstreams.withBasic);
    await pullImage(client, `mirror/${image.name}`, image);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    upstreams.withBasic.fate = () => ({ status: 500 });
    const reply = await client.must(200, {
      method: 'GET',
      path: `/v2/mirror/${image.name}/manifests/v1`,
      headers: accept,
    });
    assert.equal(reply.headers.warning, '110 - "Response is Stale"');
    assert.deepEqual(reply.body, image.index);
    const missing = await client.send({ method: 'GET', path: `/v2/mirror/${image.name}/manifests/v2` });
    assert.equal(missing.status, 503);
    assert.ok(Number(missing.headers['retry-after']) > 0);
    upstreams.withBasic.reset();
  });

  it('the event of a pull says whether the upstream could not be asked', async () => {
    const endpoint = await receiver();
    undo.push(() => void endpoint.stop());
    const about = { name: 'pulls', format: 'cloudevents', actions: ['pull'] };
    const image = await pushed();
    const client = await start(
      upstreams.withTokens,
      {},
      {
        REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
          { ...about, url: endpoint.url, privateaddresses: true },
        ]),
      },
    );
    const pull = async () => {
      const path = `/v2/mirror/${image.name}/manifests/v1`;
      await client.must(200, { method: 'GET', path, headers: accept });
    };
    await pull();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    upstreams.withTokens.fate = () => 'drop';
    await pull();
    upstreams.withTokens.reset();
    await until(() => endpoint.received.length === 2);
    const events = endpoint.received.map(({ body }) => JSON.parse(body) as { data: Record<string, unknown> });
    assert.deepEqual(
      events.map(({ data: { action, stale } }) => ({ action, stale })),
      [
        { action: 'pull', stale: undefined },
        { action: 'pull', stale: true },
      ],
    );
  });

  it('a 429 stays one where nothing is cached, and holds for what comes next', async () => {
    const image = await pushed();
    const client = await start(upstreams.withBasic);
    upstreams.withBasic.reset();
    upstreams.withBasic.fate = () => ({ status: 429, headers: { 'retry-after': '77' } });
    const path = `/v2/mirror/${image.name}/manifests/v1`;
    const first = await client.send({ method: 'GET', path });
    assert.equal(first.status, 429);
    assert.equal(first.headers['retry-after'], '77');
    assert.match(first.body.toString(), /TOOMANYREQUESTS/);
    upstreams.withBasic.reset();
    assert.equal((await client.send({ method: 'GET', path })).status, 429);
    assert.deepEqual(upstreams.withBasic.requests, []);
  });

  it('a 401 of the upstream is 403 for the client, and says what to do', async () => {
    const image = await pushed();
    const client = await start(upstreams.withBasic, { password: 'wrong password of a test' });
    const { status, headers, body } = await client.send({
      method: 'GET',
      path: `/v2/mirror/${image.name}/manifests/v1`,
    });
    assert.equal(status, 403);
    assert.equal(headers['www-authenticate'], undefined);
    assert.match(body.toString(), /check the credentials that this registry has for it/);
  });
});
