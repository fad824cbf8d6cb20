import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { all } from '../../lib/http/all.ts';
import { dataPlaneGroups } from '../../lib/http/data-plane.ts';
import type { Group } from '../../lib/protocol/routes.ts';
import { startServer } from '../../lib/server/server.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import {
  Client,
  descriptor,
  digestOf,
  imageType,
  manifest,
  someName,
  withDigest,
  type Ask,
} from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

const ways = ['gateway', 'dataPlane', 'server'] as const;

describe('with REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true', () => {
  const name = someName();
  const layer = randomBytes(50);
  const digest = digestOf(layer);
  const image = manifest({ config: descriptor(layer), layers: [descriptor(layer)] });
  const type = { 'content-type': imageType };
  let storage: TestStorage;
  let planes: Planes;
  /** Path and query of an upload in progress. */
  let upload: string;
  let kept: string[];

  before(async () => {
    storage = await folderStorage();
    const common = { REGISTRY_HTTP_SECRET: 'the secret of a test', REGISTRY_LOG_LEVEL: 'error' };
    const writable = await startServer(
      'server',
      loadConfig('server', { ...common, ...storage.settings, REGISTRY_HTTP_ADDR: '127.0.0.1:0' }),
    );
    const client = new Client(writable.url);
    await client.pushBlob(name, layer);
    await client.pushManifest(name, 'v1', image);
    const { pathname, search } = new URL(await client.startUpload(name));
    upload = pathname + search;
    await writable.stop();
    planes = await startPlanes({ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' }, storage);
    kept = await files();
  });

  after(async () => {
    await planes.stop();
  });

  const files = async () =>
    (
      await readdir(storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '', { recursive: true })
    ).sort();

  /** Every write, as clients send it. */
  const writes = (): Readonly<Partial<Record<Group, readonly (Ask & { readonly what: string })[]>>> => ({
    uploads: [
      { what: 'the start of an upload', method: 'POST', path: `/v2/${name}/blobs/uploads/` },
      {
        what: 'a mount',
        method: 'POST',
        path: `/v2/${someName()}/blobs/uploads/?mount=${digest}&from=${name}`,
      },
      {
        what: 'a mount from any repository',
        method: 'POST',
        path: `/v2/${someName()}/blobs/uploads/?mount=${digest}`,
      },
      {
        what: 'a whole blob',
        method: 'POST',
        path: `/v2/${name}/blobs/uploads/?digest=${digest}`,
        body: layer,
      },
      { what: 'a chunk', method: 'PATCH', path: upload, body: layer },
      { what: 'the end of an upload', method: 'PUT', path: withDigest(upload, digest), body: layer },
      { what: 'the end of an upload without a state', method: 'PUT', path: `/v2/${name}/blobs/uploads/x` },
      { what: 'a cancel', method: 'DELETE', path: upload },
    ],
    manifests: [
      { what: 'a push by tag', method: 'PUT', path: `/v2/${name}/manifests/v2`, headers: type, body: image },
      {
        what: 'a push by digest with tags',
        method: 'PUT',
        path: `/v2/${name}/manifests/${digestOf(image)}?tag=v2`,
        headers: type,
        body: image,
      },
      { what: 'the delete of a tag', method: 'DELETE', path: `/v2/${name}/manifests/v1` },
      {
        what: 'the delete of a manifest',
        method: 'DELETE',
        path: `/v2/${name}/manifests/${digestOf(image)}`,
      },
    ],
    blobs: [{ what: 'the delete of a blob', method: 'DELETE', path: `/v2/${name}/blobs/${digest}` }],
  });

  for (const way of ways) {
    const served = way === 'dataPlane' ? dataPlaneGroups : all;
    // The token service changes nothing: clients must log in to pull, too.
    const groups = (Object.keys(served) as Group[]).filter((group) => group !== 'token');
    for (const group of groups)
      it(`in read-only mode, the ${way} refuses every write of ${group} and changes nothing`, async () => {
        const methods = Object.keys(served[group] ?? {}).filter(
          (method) => !['GET', 'HEAD'].includes(method),
        );
        const asks = (writes()[group] ?? []).filter(({ method }) => methods.includes(method));
        // A route that writes has a request here.
        assert.deepEqual(new Set(asks.map(({ method }) => method)), new Set(methods));
        for (const ask of asks) {
          const { status, headers, body } = await new Client(planes[way]).send(ask);
          assert.equal(status, 405, ask.what);
          assert.equal(headers.allow, ask.method === 'POST' ? '' : 'GET, HEAD', ask.what);
          assert.equal(headers['content-type'], 'application/json', ask.what);
          const error = { code: 'UNSUPPORTED', message: 'this registry is read-only' };
          assert.deepEqual(JSON.parse(body.toString()), { errors: [error] }, ask.what);
        }
        assert.deepEqual(await files(), kept);
      });
  }

  for (const way of ['gateway', 'server'] as const)
    it(`in read-only mode, the ${way} allows no method where uploads start`, async () => {
      const ask = { method: 'GET', path: `/v2/${name}/blobs/uploads/` };
      assert.equal((await new Client(planes[way]).must(405, ask)).headers.allow, '');
    });

  for (const way of ['gateway', 'server'] as const)
    it(`in read-only mode, the ${way} answers every read and stores nothing`, async () => {
      const client = new Client(planes[way]);
      for (const path of [
        '/v2/',
        '/v2/_catalog',
        '/v1/search?q=test',
        `/v2/${name}/tags/list`,
        `/v2/${name}/manifests/v1`,
        `/v2/${name}/referrers/${digestOf(image)}`,
      ])
        await client.must(200, { method: 'GET', path });
      const blob = await client.send({ method: 'GET', path: `/v2/${name}/blobs/${digest}` });
      const { body } =
        blob.status === 307 ? await client.send({ method: 'GET', path: client.location(blob) }) : blob;
      assert.ok(body.equals(layer));
      await client.must(204, { method: 'GET', path: upload });
      assert.deepEqual(await files(), kept);
    });

  it('in read-only mode, the data plane reports the offset of an upload', async () => {
    await new Client(planes.dataPlane).must(204, { method: 'GET', path: upload });
  });

  it('read-only mode refuses a push before its body arrives', async () => {
    const ask = writes().manifests?.[0];
    assert.ok(ask);
    const headers = { ...type, 'content-length': String(1024 ** 2), expect: '100-continue' };
    await new Client(planes.server).must(405, { ...ask, headers, body: new Uint8Array() });
  });
});
