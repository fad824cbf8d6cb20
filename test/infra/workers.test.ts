import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { htpasswdOf, passwordOf } from '../access/policy-registry.ts';
import { Client, digestOf, someName, withDigest } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';
import { until, withWorkers as runWithWorkers, workersOf } from './running-workers.ts';
import { runServer } from './run-node.ts';

const folder = await temporaryFolder('workers');

after(() => {
  folder.remove();
});

let registries = 0;

async function withWorkers(
  count: number,
  work: (registry: Stowage) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  await runWithWorkers(join(folder.path, String(registries++)), count, settings, work);
}

/** Bytes that a process has read, of files and connections. */
function bytesRead(pid: number): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

const times = (text: string, part: string) => text.split(part).length - 1;

describe('stowage serve with workers', () => {
  it('any worker serves any request of a push, with the secret that was made at the start', async () => {
    await withWorkers(3, async (registry) => {
      const client = new Client(`http://${registry.address}`);
      const workers = workersOf(registry);
      const before = workers.map(bytesRead);
      const name = someName();
      const chunks = Array.from({ length: 12 }, () => randomBytes(1024 * 1024));
      let location = await client.startUpload(name);
      for (const [index, chunk] of chunks.entries())
        location = await client.sendChunk(location, index * chunk.length, chunk);
      const bytes = Buffer.concat(chunks);
      await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)) });
      for (let i = 0; i < 3; i++) {
        const { body } = await client.must(200, {
          method: 'GET',
          path: `/v2/${name}/blobs/${digestOf(bytes)}`,
        });
        assert.ok(body.equals(bytes));
      }
      await client.pushImage(name, 'v1');
      const read = workers.map((pid, index) => bytesRead(pid) - (before[index] ?? 0));
      assert.ok(Math.min(...read) > 1024 * 1024, String(read));
      const { output } = registry;
      for (const once of ['The registry listens at', 'REGISTRY_HTTP_SECRET is not set'])
        assert.equal(times(output(), once), 1, output());
    });
  });

  it('a worker that ends is replaced, while the others serve', async () => {
    await withWorkers(2, async (registry) => {
      const client = new Client(`http://${registry.address}`);
      const [first = 0] = workersOf(registry);
      process.kill(first, 'SIGKILL');
      await until(() => workersOf(registry).length === 1);
      for (let i = 0; i < 5; i++) await client.must(200, { method: 'GET', path: '/v2/' });
      await until(() => workersOf(registry).length === 2);
      const reason = 'A worker ended unexpectedly (SIGKILL); another one takes its place in 1 s.';
      assert.ok(registry.output().includes(reason), registry.output());
      await client.pushImage(someName(), 'v1');
    });
  });

  it('no worker is left when the primary process is killed', async () => {
    const registry = await serve(join(folder.path, 'killed'), { REGISTRY_HTTP_WORKERS: '2' });
    await until(() => workersOf(registry).length === 2);
    const workers = workersOf(registry);
    await registry.kill();
    await until(() => !workers.some(runs));
  });

  for (const signal of ['SIGINT', 'SIGHUP'] as const)
    it(`workers let requests in flight finish when a terminal sends ${signal} to all processes`, async () => {
      await withWorkers(2, async (registry) => {
        const client = new Client(`http://${registry.address}`);
        const location = await client.startUpload('team/app');
        const socket = await dial(client.base);
        const answer = rest(socket);
        socket.write(head('PATCH', pathOf(location), 'Content-Length: 8') + 'some');
        await delay(500);
        for (const pid of [registry.pid, ...workersOf(registry)]) process.kill(pid, signal);
        await delay(500);
        assert.ok(!socket.closed);
        socket.write('more');
        assert.match(await answer, /^HTTP\/1\.1 202 /);
      });
    });

  it('a port in use is reported once, by exit code 1', async () => {
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    const { code, errors } = await runServer({
      REGISTRY_HTTP_WORKERS: '3',
      REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder.path, 'in-use'),
    });
    other.close();
    assert.equal(code, 1);
    assert.match(
      errors,
      /^[^\n]*EADDRINUSE[^\n]*: another program listens there; set REGISTRY_HTTP_ADDR to another host:port\.\n$/,
    );
  });

  it('a Unix socket in use, or in a folder that does not exist, is reported once with its remedy', async () => {
    const path = join(folder.path, 'in-use.sock');
    const other = createServer().listen(path);
    await once(other, 'listening');
    const run = async (address: string) =>
      await runServer({
        REGISTRY_HTTP_WORKERS: '2',
        REGISTRY_HTTP_NET: 'unix',
        REGISTRY_AUTH: 'none',
        REGISTRY_HTTP_ADDR: address,
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder.path, 'socket'),
      });
    const inUse = await run(path);
    other.close();
    assert.equal(inUse.code, 1);
    assert.match(inUse.errors, /^[^\n]*EADDRINUSE[^\n]*: another program listens at this socket,[^\n]*\n$/);
    const { code, errors } = await run(join(folder.path, 'none/registry.sock'));
    assert.equal(code, 1);
    assert.match(errors, /^[^\n]*: set REGISTRY_HTTP_ADDR to a path in a folder that exists[^\n]*\n$/);
  });

  it('a storage that cannot be used is reported once, by exit code 1', async () => {
    const file = join(folder.path, 'file');
    await writeFile(file, '');
    const { code, errors } = await runServer({
      REGISTRY_HTTP_WORKERS: '3',
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: file,
    });
    assert.equal(code, 1);
    assert.equal(times(errors, 'The registry cannot start'), 1, errors);
    assert.equal(times(errors, '\n'), 1, errors);
  });

  it('workers count wrong passwords together, and all know a changed password', async () => {
    const path = join(folder.path, 'users');
    await writeFile(path, await htpasswdOf(['alice', 'bob']));
    const settings = { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_PATH: path };
    await withWorkers(
      3,
      async (registry) => {
        const client = new Client(`http://${registry.address}`);
        const login = async (user: string, password: string) =>
          (await client.send({ method: 'GET', path: '/v2/', headers: basic(user, password) })).status;
        const wrong: number[] = [];
        for (let i = 0; i < 12; i++) wrong.push(await login('bob', 'wrong'));
        assert.deepEqual(wrong, [...Array.from({ length: 10 }, () => 401), 429, 429]);
        for (let i = 0; i < 6; i++) assert.equal(await login('alice', passwordOf('alice')), 200);
        await writeFile(path, await htpasswdOf(['bob']));
        await delay(1_500);
        for (let i = 0; i < 6; i++) assert.equal(await login('alice', passwordOf('alice')), 401);
      },
      settings,
    );
  });

  it('workers keep one list of repositories in a file, and make it once', async () => {
    const settings = {
      SEARCH_BACKEND: 'LOCAL',
      SEARCH_BACKEND_LOCAL: join(folder.path, 'list'),
      REGISTRY_LOG_LEVEL: 'info',
    };
    await withWorkers(
      3,
      async (registry) => {
        const client = new Client(`http://${registry.address}`);
        const made = 'the list of repositories matches the bucket';
        await until(() => registry.output().includes(made));
        const names = Array.from({ length: 12 }, (_, i) => `team/app-${String(i).padStart(2, '0')}`);
        await Promise.all(names.map(async (name) => await client.pushImage(name, 'v1')));
        for (let i = 0; i < 3; i++) {
          const { body } = await client.must(200, { method: 'GET', path: '/v2/_catalog' });
          assert.deepEqual(JSON.parse(body.toString()), { repositories: names });
        }
        assert.equal(times(registry.output(), made), 1);
      },
      settings,
    );
  });

  it('metrics are those of all workers', async () => {
    const debug = `127.0.0.1:${await freePort()}`;
    await withWorkers(
      2,
      async (registry) => {
        const client = new Client(`http://${registry.address}`);
        for (let i = 0; i < 7; i++) await client.must(200, { method: 'GET', path: '/v2/_catalog' });
        const response = await fetch(`http://${debug}/metrics`);
        const line = 'registry_http_requests_total{handler="catalog",code="200",method="get"} 7';
        const text = await response.text();
        assert.ok(text.split('\n').includes(line), text);
        assert.equal((await fetch(`http://${debug}/debug/health`)).status, 200);
      },
      { REGISTRY_HTTP_DEBUG_ADDR: debug },
    );
  });

  it('every worker logs its requests', async () => {
    await withWorkers(2, async (registry) => {
      const client = new Client(`http://${registry.address}`);
      const ask = { method: 'GET', path: '/v2/_catalog', headers: { connection: 'close' } };
      for (let i = 0; i < 20; i++) await client.must(200, ask);
      await until(() => times(registry.output(), '"path":"/v2/_catalog"') === 20);
    });
  });

  it('there are no more workers than uploads that may be received', async () => {
    const settings = { REGISTRY_HTTP_WORKERS: '4', REGISTRY_HTTP_MAXUPLOADS: '2' };
    const nothing = async () => {
      await Promise.resolve();
    };
    await withWorkers(2, nothing, settings);
  });
});

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
