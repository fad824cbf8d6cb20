import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startServer, type StreamingServer } from '../../infra/server.ts';
import { Turns } from '../../infra/connections.ts';
import { loadConfig } from '../../lib/config.ts';
import { Client } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { dial, head, pathOf } from './raw-http.ts';

describe('requests that follow on each other in one connection', () => {
  let storage: TestStorage;
  let server: StreamingServer;

  before(async () => {
    storage = await folderStorage();
    const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, REGISTRY_LOG_LEVEL: 'error' };
    server = await startServer('server', loadConfig('server', { ...storage.settings, ...address }));
  });

  after(async () => {
    await server.stop();
    storage.remove();
  });

  it('are all answered in their order, however many', async () => {
    const { digest } = await new Client(server.url).pushImage('many/app', 'v1');
    const count = 500;
    const paths = Array.from({ length: count }, (_, i) =>
      i % 2 === 0 ? '/v2/' : `/v2/many/app/manifests/${i % 3 === 0 ? 'v1' : digest}`,
    );
    const socket = await dial(server.url);
    socket.write(paths.map((path) => head('HEAD', path)).join(''));
    let text = '';
    for await (const piece of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      text += piece.toString();
      if (text.split('HTTP/1.1 ').length > count && text.endsWith('\r\n\r\n')) break;
    }
    socket.destroy();
    const manifests = text
      .split('HTTP/1.1 ')
      .slice(1)
      .map((answer) => /docker-content-digest/i.test(answer));
    assert.deepEqual(
      manifests,
      paths.map((path) => path !== '/v2/'),
    );
  });

  it('go on after a body that came in pieces while others waited', async () => {
    const client = new Client(server.url);
    const location = await client.startUpload('many/app');
    const bytes = randomBytes(300_000);
    const socket = await dial(server.url);
    socket.write(head('GET', '/v2/').repeat(20));
    socket.write(head('PATCH', pathOf(location), `Content-Length: ${bytes.length}`, 'Connection: close'));
    for (let i = 0; i < bytes.length; i += 50_000) socket.write(bytes.subarray(i, i + 50_000));
    let text = '';
    for await (const piece of socket as AsyncIterable<Buffer>) text += piece.toString();
    assert.match(text, /HTTP\/1\.1 202 /);
    assert.equal((await client.must(204, { method: 'GET', path: location })).headers.range, '0-299999');
  });
});

describe('turns', () => {
  let ours: Socket;
  let theirs: Socket;

  before(async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const accepted = once(listener, 'connection') as Promise<[Socket]>;
    theirs = await dial(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
    [ours] = await accepted;
    listener.close();
  });

  after(() => {
    theirs.destroy();
  });

  it('are eight at once, and none once the connection is gone', async () => {
    const turns = new Turns();
    const releases: (() => void)[] = [];
    let [active, most, done] = [0, 0, 0];
    const works = Array.from({ length: 30 }, async () => {
      await turns.during(ours, async () => {
        most = Math.max(most, ++active);
        await new Promise<void>((resolve) => releases.push(resolve));
        active--;
        done++;
      });
    });
    assert.ok(ours.isPaused());
    for (let released = 0; released < 12; released++) {
      releases.shift()?.();
      await new Promise(setImmediate);
    }
    assert.deepEqual([most, done], [8, 12]);
    ours.destroy();
    for (const release of releases) release();
    await Promise.all(works);
    assert.equal(done, 20);
  });
});
