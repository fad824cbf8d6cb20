import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { usualLimits } from '../../lib/http/limits.ts';
import { startServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { runToEnd } from '../infra/run-node.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mariadb, type Database, type MariaDb } from '../servers/mariadb.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve as serveAlone, type Stowage } from '../servers/stowage.ts';
import { Client, someName, type Reply } from './client.ts';

const mysql = (dsn: string) => ({ SEARCH_BACKEND: 'MYSQL', SEARCH_BACKEND_MYSQL: dsn });
const clientOf = ({ address }: Stowage) => new Client(`http://${address}`);
const repositories = ({ body }: Reply) =>
  (JSON.parse(body.toString()) as { repositories: string[] }).repositories;

async function mount(client: Client, blob: string, from: string, to: string): Promise<void> {
  await client.must(201, { method: 'POST', path: `/v2/${to}/blobs/uploads/?mount=${blob}&from=${from}` });
}

/** Waits until a registry has logged something. */
async function said({ output }: Stowage, text: string): Promise<void> {
  for (let tries = 0; tries < 100 && !output().includes(text); tries++) await delay(100);
  assert.ok(output().includes(text), output());
}

describe('a list of repositories in MariaDB', requires('mariadbd'), () => {
  let folder: Folder;
  let server: MariaDb;
  let database: Database;
  const env = () => ({ ...mysql(database.dsn), REGISTRY_HTTP_SECRET: 'the secret of all of these' });
  const started: Stowage[] = [];
  const serve = async (...all: Parameters<typeof serveAlone>) => {
    const registry = await serveAlone(...all);
    started.push(registry);
    return registry;
  };
  const down = async () => {
    await server.shutDown();
  };

  before(async () => {
    folder = await temporaryFolder('in-step');
    server = await mariadb();
    database = await server.newDatabase();
  });

  after(async () => {
    // Where a test has failed in the middle, its registry is still there.
    for (const registry of started) await registry.stop();
    await server.stop();
    folder.remove();
  });

  it('a list in MariaDB has a repository and the second of its push once a tag is pushed', async () => {
    const registry = await serve(folder.path, env());
    // Until then there is no table.
    // Until then there is no table.
    await said(registry, 'the list of repositories matches the bucket');
    const [client, one, two] = [clientOf(registry), someName(), someName()];
    for (const [name, tag] of [
      [one, 'v1'],
      [two, 'v1'],
      [one, 'v2'],
    ] as const)
      await client.pushImage(name, tag);
    const rows = (
      await database.sql("SELECT name, createTime FROM repositories WHERE name LIKE 'test/%'")
    ).split('\n');
    const times = new Map(rows.map((row) => row.split('\t') as [string, string]));
    assert.deepEqual(new Set(times.keys()), new Set([one, two]));
    for (const time of times.values()) assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 60, time);
    await registry.stop();
  });

  it('a list in MariaDB has no repository with pushes by digest only', async () => {
    const registry = await serve(folder.path, env());
    const [client, source, name] = [clientOf(registry), someName(), someName()];
    const { bytes, digest, layer } = await client.pushImage(source, 'v1');
    const { config } = JSON.parse(bytes.toString()) as { config: { digest: string } };
    for (const blob of [layer, config.digest]) await mount(client, blob, source, name);
    await client.pushManifest(name, digest, bytes);
    const listed = repositories(await client.must(200, { method: 'GET', path: '/v2/_catalog?n=1000' }));
    assert.ok(listed.includes(source) && !listed.includes(name));
    await registry.stop();
  });

  // Manifests go through the functions themselves.
  for (const [what, launch, more] of [
    ['the streaming server', serve, {}],
    ['the functions', functions, { REGISTRY_HTTP_DATAPLANE: 'http://127.0.0.1:1' }],
  ] as const)
    it(`an outage of MariaDB fails no push to ${what}; a reindex updates the list`, async () => {
      const registry = await launch(folder.path, { ...env(), ...more });
      const other = await serve(folder.path, env());
      const [client, source, lost] = [clientOf(registry), someName(), someName()];
      const { bytes, layer } = await clientOf(other).pushImage(source, 'v1');
      const { config } = JSON.parse(bytes.toString()) as { config: { digest: string } };
      await down();
      try {
        for (const blob of [layer, config.digest]) await mount(client, blob, source, lost);
        const start = performance.now();
        await client.pushManifest(lost, 'v1', bytes);
        assert.ok(performance.now() - start < 5000);
        await said(registry, 'the list of repositories is stale');
        for (const path of ['/v2/_catalog', '/v1/search?q=a']) {
          const { status, headers, body } = await client.send({ method: 'GET', path });
          assert.equal(status, 503);
          assert.ok(headers['retry-after']);
          assert.deepEqual(
            (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors.map(({ code }) => code),
            ['UNAVAILABLE'],
          );
        }
      } finally {
        await server.restart();
      }
      const before = repositories(await client.must(200, { method: 'GET', path: '/v2/_catalog?n=1000' }));
      assert.ok(before.includes(source) && !before.includes(lost));
      const { code, output } = await runToEnd(['reindex'], {
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
        ...mysql(database.dsn),
      });
      assert.equal(code, 0, output);
      assert.match(output, /^the list has \d+ repositories: [1-9]\d* added, 0 removed, in \d+\.\d s$/m);
      const path = '/v2/_catalog?n=1000';
      assert.ok(repositories(await client.must(200, { method: 'GET', path })).includes(lost));
      assert.ok(!registry.output().includes(server.password));
      await other.stop();
      await registry.stop();
    });

  it('a server started during an outage of MariaDB updates the list afterwards, or stops', async () => {
    await down();
    const registry = await serve(folder.path, env());
    await said(registry, 'the reindex failed; the next attempt');
    await registry.stop();
    await server.restart();
    await database.sql('DELETE FROM repositories');
    const next = await serve(folder.path, env());
    await said(next, 'the list of repositories matches the bucket');
    assert.notEqual(await database.sql('SELECT COUNT(*) FROM repositories'), '0');
    await next.stop();
  });
});

it('a list that does not respond delays a push no longer than its timeout', async () => {
  const folder = await temporaryFolder('silent');
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const dsn = `u:p@tcp(127.0.0.1:${(silent.address() as AddressInfo).port})/db`;
  const config = loadConfig('server', {
    ...mysql(dsn),
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
    REGISTRY_HTTP_ADDR: '127.0.0.1:0',
    REGISTRY_LOG_LEVEL: 'error',
  });
  const server = await startServer('server', config, { ...usualLimits, recordTimeoutMs: 500 });
  const client = new Client(server.url);
  const name = someName();
  const { bytes } = await client.pushImage(name, 'v0');
  for (const tag of ['v1', 'v2']) {
    const start = performance.now();
    await client.pushManifest(name, tag, bytes);
    const took = performance.now() - start;
    assert.ok(took > 450 && took < 1500, `${took} ms`);
  }
  for (const socket of sockets) socket.destroy();
  silent.close();
  await server.stop();
  folder.remove();
});
