import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { Client, digestOf, someName, type Reply } from '../functions/client.ts';
import { listen, type Listening } from '../servers/listen.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

/** More than the server looks up at the same time. */
const pulls = 300;

describe('a server whose upstream takes connections and never answers', () => {
  let storage: TestStorage;
  let upstream: Listening;
  let server: StreamingServer;
  let client: Client;
  const asked: string[] = [];
  let isUp = true;

  before(async () => {
    storage = await folderStorage();
    upstream = await listen(createServer(({ url = '' }) => asked.push(url)));
    const entry = { prefix: 'mirror/**', url: upstream.url, insecure: true, privateaddresses: true };
    server = await startServer(
      'server',
      loadConfig('server', {
        ...storage.settings,
        REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
        REGISTRY_HTTP_SECRET: 'the secret of a test',
        REGISTRY_LOG_LEVEL: 'error',
        REGISTRY_PROXY_UPSTREAMS: JSON.stringify([entry]),
      }),
    );
    client = new Client(server.url);
  });

  after(async () => {
    if (isUp) await upstream.stop();
    await server.stop();
    storage.remove();
  });

  it('serves its own repositories as usual, and tells those that wait to come again', async () => {
    const own = someName();
    const before = await client.pushImage(own, 'v1');
    const answers: Reply[] = [];
    const waiting = Array.from({ length: pulls }, async (_, index) => {
      // The same for some, and each kind of content.
      const path =
        index % 3 === 0
          ? `blobs/${digestOf(randomBytes(8))}`
          : `manifests/${index % 3 === 1 ? `v${index % 30}` : digestOf(randomBytes(8))}`;
      const reply = await client.send({ method: 'GET', path: `/v2/mirror/team/app${index % 7}/${path}` });
      answers.push(reply);
    });
    while (server.requests < pulls) await new Promise((resolve) => setTimeout(resolve, 5));
    const after = await client.pushImage(own, 'v2');
    for (const { digest, layer } of [before, after]) {
      await client.must(200, { method: 'GET', path: `/v2/${own}/manifests/${digest}` });
      await client.must(200, { method: 'HEAD', path: `/v2/${own}/blobs/${layer}` });
    }
    await client.must(200, { method: 'GET', path: `/v2/${own}/tags/list` });
    assert.deepEqual(
      answers.filter(({ status }) => status !== 503),
      [],
    );
    // Blobs find the queue for copies full at once.
    assert.ok(pulls - answers.length > 256, 'more wait than are looked up at the same time');
    assert.ok(asked.length <= 64, `${asked.length} requests to the upstream`);

    isUp = false;
    await upstream.stop();
    await Promise.all(waiting);
    for (const { status, headers } of answers) {
      assert.equal(status, 503);
      assert.ok(Number(headers['retry-after']) > 0);
    }
  });
});
