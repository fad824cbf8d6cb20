/** TLS between a registry and its MySQL, and networks that drop connections silently. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runToEnd } from '../infra/run-node.ts';
import { testCertificate, testKey } from '../servers/certificate.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mariadb, type Database, type MariaDb } from '../servers/mariadb.ts';
import { requires } from '../servers/requires.ts';
import { mysqlSearch, NamesBucket } from './list-ground.ts';

const all = { n: 1000, last: '' };

describe('a MariaDB that speaks TLS', requires('mariadbd'), () => {
  let folder: Folder;
  let server: MariaDb;
  let database: Database;
  let certificate: string;

  before(async () => {
    folder = await temporaryFolder('tls');
    certificate = join(folder.path, 'cert.pem');
    const key = join(folder.path, 'key.pem');
    await writeFile(certificate, testCertificate);
    await writeFile(key, testKey);
    server = await mariadb([
      `--ssl-cert=${certificate}`,
      `--ssl-key=${key}`,
      '--require-secure-transport=ON',
    ]);
    database = await server.newDatabase();
  });

  after(async () => {
    await server.stop();
    folder.remove();
  });

  for (const mode of ['skip-verify', 'preferred'])
    it(`MariaDB is used with tls=${mode}, whatever its certificate`, async () => {
      const backend = mysqlSearch(`${database.dsn}&tls=${mode}`);
      await backend.reindex(new NamesBucket('a'));
      assert.deepEqual((await backend.list(all)).names, ['a']);
      await backend.close();
    });

  it('MariaDB is not used without TLS', async () => {
    const backend = mysqlSearch(database.dsn);
    await assert.rejects(backend.list(all), { failure: 'SEARCH_UNAVAILABLE' });
    await backend.close();
  });

  /** In a process of its own: only at its start does Node read whom to trust. */
  const reindex = async (dsn: string, trusted: string) =>
    await runToEnd(['reindex'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
      SEARCH_BACKEND: 'MYSQL',
      SEARCH_BACKEND_MYSQL: dsn,
      NODE_EXTRA_CA_CERTS: trusted,
    });

  it('MariaDB is used with tls=true if its certificate is trusted and matches the host', async () => {
    const byName = database.dsn.replace('127.0.0.1', 'localhost');
    const { code, output } = await reindex(`${byName}&tls=true`, certificate);
    assert.equal(code, 0, output);
    assert.match(output, /the list has 1 repository: 0 added/);
  });

  it('MariaDB with an untrusted certificate is refused with tls=true, with advice', async () => {
    const { code, output } = await reindex(`${database.dsn}&tls=true`, '');
    assert.notEqual(code, 0);
    assert.match(output, /certificate of the server of SEARCH_BACKEND_MYSQL/);
    assert.ok(!output.includes(server.password));
  });
});

it('256 requests wait for a MySQL server that does not respond, and others fail at once', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const backend = mysqlSearch(`user:password@tcp(127.0.0.1:${port})/database?timeout=2s`);
  const failed: unknown[] = [];
  const asked = Array.from({ length: 300 }, async () => {
    await backend.list(all).catch((error: unknown) => failed.push((error as Error).cause));
  });
  await delay(500);
  // Each of four connections is waited for by the one it is made for.
  assert.equal(failed.length, 300 - 256 - 4);
  for (const error of failed) assert.match(String(error), /too many requests wait for the server/);
  for (const socket of sockets) socket.destroy();
  server.close();
  await Promise.all(asked);
  assert.equal(failed.length, 300);
  await backend.close();
});

describe('a network that forgets connections to MariaDB', requires('mariadbd'), () => {
  let server: MariaDb;
  /** Both ends of what goes through. */
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.pipe(other);
    }
  });

  before(async () => {
    server = await mariadb();
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
  });

  afterEach(() => {
    mock.restoreAll();
  });

  after(async () => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
    await server.stop();
  });

  it('a registry that was idle for a minute reconnects to MariaDB', async () => {
    const { dsn } = await server.newDatabase();
    const { port } = proxy.address() as AddressInfo;
    const backend = mysqlSearch(dsn.replace(`:${server.port}`, `:${port}`));
    await backend.reindex(new NamesBucket('a'));
    // Several connections, each of which is dropped silently.
    await Promise.all([1, 2, 3, 4].map(async () => await backend.list(all)));
    assert.ok(sockets.size >= 4);
    for (const socket of sockets) socket.unpipe().pause();
    const now = Date.now.bind(Date);
    mock.method(Date, 'now', () => now() + 60_000);
    const began = performance.now();
    assert.deepEqual((await backend.list(all)).names, ['a']);
    // No answer of a forgotten connection was waited for, which takes 15 s.
    assert.ok(performance.now() - began < 5000);
    await backend.close();
  });
});
