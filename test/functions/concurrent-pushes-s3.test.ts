import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { s3Kinds, type S3Kind } from '../servers/buckets.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage } from '../servers/storage.ts';
import { Client, descriptor, digestOf, manifest, someName, withDigest } from './client.ts';

const MiB = 1024 ** 2;
const rounds = 10;

for (const kind of s3Kinds)
  describe(`two concurrent clients of two instances on ${kind.name}`, requires(...kind.needs), () => {
    twoClients(kind);
  });

function twoClients(kind: S3Kind): void {
  let s3: S3Server;
  const servers: StreamingServer[] = [];
  let clients: readonly [Client, Client];

  before(async () => {
    s3 = await kind.start();
    const { settings } = await bucketStorage(s3);
    const start = async () => {
      const REGISTRY_HTTP_ADDR = `127.0.0.1:${await freePort()}`;
      const more = { REGISTRY_HTTP_SECRET: 'the secret of both', REGISTRY_LOG_LEVEL: 'error' };
      const server = await startServer(
        'server',
        loadConfig('server', { ...settings, ...more, REGISTRY_HTTP_ADDR }),
      );
      servers.push(server);
      return new Client(server.url);
    };
    clients = [await start(), await start()];
  });

  after(async () => {
    for (const server of servers) await server.stop();
    await s3.stop();
  });

  const pull = async (client: Client, name: string, digest: string): Promise<Buffer> => {
    const { headers } = await client.must(307, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
    return (await client.must(200, { method: 'GET', path: headers.location ?? '' })).body;
  };

  const streamed = async (client: Client, name: string, bytes: Buffer): Promise<void> => {
    const path = await client.startUpload(name);
    const reply = await client.must(202, { method: 'PATCH', path, body: bytes, chunked: true });
    await client.must(201, { method: 'PUT', path: withDigest(client.location(reply), digestOf(bytes)) });
  };

  it('two clients push the same blob concurrently, as a stream and in one PUT, to one repository and to two', async () => {
    for (let round = 0; round < rounds; round++) {
      const bytes = randomBytes(round % 2 === 0 ? 7 * MiB : 1000);
      const names = [someName(), round < rounds / 2 ? someName() : undefined] as const;
      const [one, two] = [names[0], names[1] ?? names[0]];
      await Promise.all([streamed(clients[0], one, bytes), clients[1].pushBlob(two, bytes)]);
      for (const [i, name] of [two, one].entries()) {
        const client = clients[i] ?? clients[0];
        assert.ok((await pull(client, name, digestOf(bytes))).equals(bytes), `round ${round}`);
      }
    }
  });

  it('two clients push one tag concurrently; it points at one complete image', async () => {
    for (let round = 0; round < rounds; round++) {
      const name = someName();
      const pushed = await Promise.all(
        clients.map(async (client) => {
          const [config, layer] = [randomBytes(40), randomBytes(50)];
          for (const bytes of [config, layer]) await client.pushBlob(name, bytes);
          const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
          await client.pushManifest(name, 'latest', bytes);
          return { digest: digestOf(bytes), layer: digestOf(layer) };
        }),
      );
      for (const client of clients) {
        const { headers, body } = await client.must(200, {
          method: 'GET',
          path: `/v2/${name}/manifests/latest`,
        });
        const winner = pushed.find(({ digest }) => digest === headers['docker-content-digest']);
        assert.ok(winner);
        assert.equal(digestOf(body), winner.digest);
        assert.equal(digestOf(await pull(client, name, winner.layer)), winner.layer);
      }
    }
  });
}
