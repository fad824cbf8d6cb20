import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { Client } from '../functions/client.ts';
import { fillStore } from '../search/bucket-ground.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { mariadb } from '../servers/mariadb.ts';
import { freePort } from '../servers/ports.ts';
import { serves } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { start, type Stowage } from '../servers/stowage.ts';
import { runToEnd } from './run-node.ts';

const folder = await temporaryFolder('infra-start');

after(() => {
  folder.remove();
});

const run = async (env: NodeJS.ProcessEnv) => await runToEnd(['start'], env);

/** Waits until a text was printed. */
async function said({ output }: Stowage, text: string): Promise<void> {
  for (let tries = 0; tries < 100 && !output().includes(text); tries++) await delay(100);
  assert.ok(output().includes(text), output());
}

/** serverless-offline by itself resolves all of these. */
async function assertOneSpelling(client: Client): Promise<void> {
  const { digest } = await client.pushImage('team/app', 'v1');
  for (const path of [
    '/v2/team%2Fapp/tags/list',
    '/%76%32/team/app/tags/list',
    '/v2/team/%61pp/tags/list',
    '/v2/team/app/tags/lis%74',
    '/v2/other/../team/app/tags/list',
    '/v2/other/%2e%2e/team/app/tags/list',
    '/v2/team/./app/tags/list',
    '/v2/team\\app/tags/list',
    '/v2/team/app/manifests/v%31',
  ]) {
    const { status, body } = await client.send({ method: 'GET', path });
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
    assert.match(body.toString(), /^\{"errors":\[\{"code":"(?:UNSUPPORTED|(?:NAME|TAG)_INVALID)",/);
  }
  await client.must(200, { method: 'GET', path: `/v2/team/app/manifests/${encodeURIComponent(digest)}` });
}

describe('stowage start', () => {
  it('start prints how to push once both planes respond, and leaves nothing behind on SIGTERM', async () => {
    const registry = await start(folder.path);
    const port = Number(registry.address.split(':')[1]);
    try {
      await said(registry, `docker push localhost:${port}/`);
      assert.ok(registry.output().includes(folder.path));
      await assertOneSpelling(new Client(`http://${registry.address}`));
    } finally {
      await registry.stop();
    }
    for (const each of [port, port + 1]) await assert.rejects(serves(`127.0.0.1:${each}`));
  });

  it('start adds missing and pushed repositories to a table of MariaDB', requires('mariadbd'), async () => {
    const server = await mariadb();
    const database = await server.newDatabase();
    const images = await temporaryFolder('infra-start-list');
    await fillStore(await FilesystemStore.open(images.path), ['there/before']);
    const registry = await start(images.path, {
      SEARCH_BACKEND: 'MYSQL',
      SEARCH_BACKEND_MYSQL: database.dsn,
    });
    try {
      await said(registry, 'the list has 1 repository: 1 added, 0 removed');
      const client = new Client(`http://${registry.address}`);
      await client.pushImage('team/pushed', 'v1');
      const { body } = await client.must(200, { method: 'GET', path: '/v2/_catalog' });
      assert.deepEqual(JSON.parse(body.toString()), { repositories: ['team/pushed', 'there/before'] });
      const found = await client.must(200, { method: 'GET', path: '/v1/search?q=push' });
      assert.match(found.body.toString(), /"name":"team\/pushed"/);
    } finally {
      await registry.stop();
      await server.stop();
      images.remove();
    }
    assert.ok(!registry.output().includes(server.password));
  });

  it('start reports that a port is in use', async () => {
    const port = await freePort(2);
    const other = createServer().listen(port + 1, '127.0.0.1');
    await once(other, 'listening');
    const { code, output } = await run({ PORT: String(port) });
    other.close();
    assert.equal(code, 1);
    assert.match(output, new RegExp(`^Port ${port + 1} is in use: set PORT`, 'm'));
  });

  for (const port of ['abc', '0', '65535', '-1'])
    it(`refuses PORT=${port}`, async () => {
      const { code, output } = await run({ PORT: port });
      assert.equal(code, 1);
      assert.match(output, /^Invalid settings:\n  - PORT: "[^"]*" is not a port/);
    });

  it('start lists faults of its settings before it builds anything', async () => {
    const { code, output } = await run({
      PORT: String(await freePort(2)),
      REGISTRY_LOG_LEVEL: 'loud',
      REGISTRY_X: 'y',
    });
    assert.equal(code, 1);
    assert.match(output, /REGISTRY_LOG_LEVEL: .*debug, info, warn, error/);
    assert.match(output, /REGISTRY_X: no such setting/);
    assert.doesNotMatch(output, /Building|\n\s+at /);
  });
});
