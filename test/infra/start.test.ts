import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import type { LookupFunction } from 'node:net';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { openWarning } from '../../lib/commands/open-warning.ts';
import { Client, digestOf, send, withDigest } from '../functions/client.ts';
import { fillStore } from '../search/bucket-ground.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { mariadb } from '../servers/mariadb.ts';
import { freePort } from '../servers/ports.ts';
import { serves } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { start, type Stowage } from '../servers/stowage.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';
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

const toLoopback: LookupFunction = (_, { all }, callback) => {
  if (all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
};

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(' ').map(Number);
}

const runs = (pid: number) => existsSync(`/proc/${pid}`);

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

/** serverless-offline by itself gives all requests the same. */
async function assertOwnIds(client: Client): Promise<void> {
  const idOf = async () => {
    const { headers } = await client.must(200, { method: 'GET', path: '/v2/' });
    return String(headers['x-request-id']);
  };
  const [first, second] = [await idOf(), await idOf()];
  assert.match(first, /^[\w-]{20,}$/);
  assert.notEqual(first, second);
}

describe('stowage start', () => {
  it('start prints how to push once both planes respond, and no lines of requests', async () => {
    const registry = await start(folder.path);
    const port = Number(registry.address.split(':')[1]);
    try {
      await said(registry, `docker push localhost:${port}/`);
      assert.ok(registry.output().includes(folder.path));
      const client = new Client(`http://${registry.address}`);
      await assertOneSpelling(client);
      await assertOwnIds(client);
      const expected = ['Building the functions …', 'The registry listens at', 'docker tag', 'docker push'];
      const lines = registry
        .output()
        .split('\n')
        .map((line) => line.trim());
      const unexpected = lines.filter((line) => !expected.some((start) => line.startsWith(start)));
      assert.deepEqual(unexpected.filter(Boolean), [
        'Ctrl-C stops it. REGISTRY_LOG_LEVEL=info prints a line for each request.',
        openWarning,
      ]);
    } finally {
      const began = performance.now();
      process.kill(registry.pid, 'SIGINT');
      await registry.stop();
      assert.ok(performance.now() - began < 3_000, `it took ${performance.now() - began} ms to end`);
    }
    await assert.rejects(serves(registry.address));
  });

  it('start takes a push at one address, by whatever name of this machine, and leaves no process when it is killed', async () => {
    const registry = await start(folder.path, { REGISTRY_LOG_LEVEL: 'info' });
    try {
      const port = Number(registry.address.split(':')[1]);
      for (const name of ['localhost', '127.0.0.1', 'registry.localhost']) {
        const agent = new Agent({ lookup: toLoopback });
        const here = `http://${name}:${port}`;
        const [bytes, repository] = [randomBytes(12 * 1024 * 1024), `team/${name}`];
        const post = { method: 'POST', path: `/v2/${repository}/blobs/uploads/` };
        const { headers } = await send(here, post, agent);
        const location = new URL(headers.location ?? '', here);
        assert.equal(location.origin, here);
        const put = { method: 'PUT', path: withDigest(location.href, digestOf(bytes)), body: bytes };
        assert.equal((await send(here, put, agent)).status, 201);
        const blob = `/v2/${repository}/blobs/${digestOf(bytes)}`;
        const redirect = await send(here, { method: 'GET', path: blob }, agent);
        const target = new URL(redirect.headers.location ?? '', here);
        assert.equal(target.origin, here);
        const { body } = await send(here, { method: 'GET', path: target.href }, agent);
        assert.ok(body.equals(bytes));
      }
      await said(registry, 'POST /v2/team/localhost/blobs/uploads (λ: uploads)');
      await said(registry, '/v2/team/localhost/blobs/uploads/');
      const children = childrenOf(registry.pid);
      assert.ok(children.length >= 2, String(children));
      await registry.kill();
      for (let tries = 0; tries < 100 && children.some(runs); tries++) await delay(50);
      assert.deepEqual(children.filter(runs), []);
    } finally {
      await registry.stop();
    }
  });

  it('start says what it waits for on Ctrl-C, and ends at a second one', async () => {
    const registry = await start(folder.path);
    const client = new Client(`http://${registry.address}`);
    const location = await client.startUpload('team/app');
    const socket = await dial(client.base);
    const cut = rest(socket);
    socket.write(head('PATCH', pathOf(location), 'Content-Length: 1000') + 'some');
    await delay(500);
    // From the terminal, and through npm.
    process.kill(registry.pid, 'SIGINT');
    process.kill(registry.pid, 'SIGINT');
    await said(registry, 'Waiting for 1 request, 60 s at most. Ctrl-C again ends it.');
    await delay(500);
    assert.ok(!socket.closed);
    process.kill(registry.pid, 'SIGINT');
    assert.equal(await cut, '');
    await registry.stop();
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
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    const { code, output } = await run({ PORT: String(port) });
    other.close();
    assert.equal(code, 1);
    assert.match(output, new RegExp(`^Port ${port} is in use: set PORT`, 'm'));
  });

  for (const port of ['abc', '0', '65536', '-1'])
    it(`refuses PORT=${port}`, async () => {
      const { code, output } = await run({ PORT: port });
      assert.equal(code, 1);
      assert.match(output, /^Invalid settings:\n  - PORT: "[^"]*" is not a port/);
    });

  it('start lists faults of its settings before it builds anything', async () => {
    const { code, output } = await run({
      PORT: String(await freePort()),
      REGISTRY_LOG_LEVEL: 'loud',
      REGISTRY_X: 'y',
    });
    assert.equal(code, 1);
    assert.match(output, /REGISTRY_LOG_LEVEL: .*debug, info, warn, error/);
    assert.match(output, /REGISTRY_X: no such setting/);
    assert.doesNotMatch(output, /Building|\n\s+at /);
  });
});
