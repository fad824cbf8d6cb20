import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createDataPlane } from '../../lib/http/data-plane.ts';
import { throttledWarning } from '../../lib/logging/logger.ts';
import { createServices } from '../../lib/compose.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { UrlSigner } from '../../lib/registry/url-signer.ts';
import { secretsIn } from '../logs/secrets.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { Client, contentRange, digestOf, withDigest } from './client.ts';

const name = parseRepositoryName('team/app');
const old = 'the secret that has been there for long';
const next = 'the secret that is to come';

/** Secrets of an instance: the one that signs, and the previous one. */
type Secrets = readonly [secret: string, previous?: string];

const settingsOf = ([secret, previous]: Secrets): Record<string, string> => ({
  REGISTRY_HTTP_SECRET: secret,
  ...(previous !== undefined && { REGISTRY_HTTP_SECRET_PREVIOUS: previous }),
});

describe('a rolling change of the secret on two instances', () => {
  let storage: TestStorage;

  before(async () => {
    storage = await folderStorage();
  });

  after(() => {
    storage.remove();
  });

  /** @returns statuses of the chunks of one upload, each sent to the other instance than the one before */
  async function change(steps: readonly Secrets[]): Promise<number[]> {
    const secrets: Secrets[] = [[old], [old]];
    const instances: StreamingServer[] = [];
    const restart = async (i: number, to: Secrets): Promise<void> => {
      await instances[i]?.stop();
      secrets[i] = to;
      const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, REGISTRY_LOG_LEVEL: 'error' };
      const config = loadConfig('server', { ...storage.settings, ...address, ...settingsOf(to) });
      instances[i] = await startServer('server', config);
    };
    for (const i of [0, 1]) await restart(i, [old]);
    const clients = () => instances.map(({ url }) => new Client(url));
    const [first] = clients();
    assert.ok(first !== undefined);
    let location = new URL(await first.startUpload(name));
    const sent: Buffer[] = [];
    const statuses: number[] = [];
    for (const step of steps)
      for (const i of [0, 1]) {
        await restart(i, step);
        assert.ok(takeEachOther(secrets));
        for (const client of clients()) {
          const body = randomBytes(100);
          const headers = contentRange(Buffer.concat(sent).length, body);
          const path = location.pathname + location.search;
          const reply = await client.send({ method: 'PATCH', path, headers, body });
          statuses.push(reply.status);
          if (reply.status !== 202) continue;
          sent.push(body);
          location = new URL(client.location(reply), client.base);
        }
      }
    const bytes = Buffer.concat(sent);
    const path = withDigest(location.pathname + location.search, digestOf(bytes));
    const statusesOfEnd = await Promise.all(
      clients().map(async (client) => (await client.send({ method: 'PUT', path })).status),
    );
    for (const instance of instances) await instance.stop();
    return [...statuses, ...statusesOfEnd];
  }

  /** Whether each instance takes the URLs of blobs that the other has signed. */
  function takeEachOther(secrets: readonly Secrets[]): boolean {
    const digest = parseDigest(digestOf(Buffer.from('blob')));
    const all = secrets.map((own) => new UrlSigner(own.filter((secret) => secret !== undefined)));
    return all.every((one) =>
      all.every((other) => one.mayReadBlob(name, digest, other.signBlob(name, digest))),
    );
  }

  it('changing the secret in the documented order breaks no upload and no URL', async () => {
    const steps: Secrets[] = [[old, next], [next, old], [next]];
    assert.deepEqual(await change(steps), [...Array<number>(12).fill(202), 201, 201]);
  });
});

describe('a signature with an unknown secret', () => {
  let storage: TestStorage;
  let here: Stowage;
  let elsewhere: Stowage;

  before(async () => {
    storage = await folderStorage();
    [here, elsewhere] = (await Promise.all(
      [old, next].map(async (secret) => await serve(storage.settings, settingsOf([secret]))),
    )) as [Stowage, Stowage];
  });

  after(async () => {
    await Promise.all([here.stop(), elsewhere.stop()]);
    storage.remove();
  });

  it('an upload signed with an unknown secret is refused, with one warning that names the setting', async () => {
    const location = new URL(await new Client(`http://${elsewhere.address}`).startUpload(name));
    const client = new Client(`http://${here.address}`);
    const path = location.pathname + location.search;
    for (const method of ['PATCH', 'PUT', 'GET', 'DELETE'])
      for (let i = 0; i < 10; i++) {
        const { body } = await client.must(400, {
          method,
          path: withDigest(path, digestOf(Buffer.alloc(0))),
        });
        assert.match(body.toString(), /"BLOB_UPLOAD_INVALID".*REGISTRY_HTTP_SECRET/);
      }
    const warnings = [...here.output().matchAll(/.*signed with another secret.*/g)].map(([line]) => line);
    assert.equal(warnings.length, 1, here.output());
    assert.match(
      warnings[0] ?? '',
      /"level":"warn",.*"path":"\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}".*REGISTRY_HTTP_SECRET/,
    );
    assert.deepEqual(secretsIn(here.output(), [old, next]), []);
  });

  it('the data plane warns of a blob URL with an unknown signature, but not of its own or a missing one', async () => {
    const settings = { ...storage.settings, ...settingsOf([old]), REGISTRY_LOG_LEVEL: 'error' };
    const host = { REGISTRY_HTTP_HOST: 'http://127.0.0.1:1' };
    const services = await createServices('data-plane', loadConfig('data-plane', { ...settings, ...host }));
    const warned: object[] = [];
    const warnForeignSignature = (request: object): void => void warned.push(request);
    const handle = createDataPlane({ ...services, warnForeignSignature });
    const server = createServer((request, response) => void handle(request, response));
    const client = new Client(await listening(server));
    const bytes = randomBytes(10);
    const digest = parseDigest(await new Client(`http://${here.address}`).pushBlob(name, bytes));
    const path = `/v2/${name}/blobs/${digest}`;
    const signed = (secret: string) => `${path}?${new UrlSigner([secret]).signBlob(name, digest).toString()}`;
    await client.must(200, { method: 'GET', path: signed(old) });
    await client.must(404, { method: 'GET', path });
    assert.deepEqual(warned, []);
    await client.must(404, { method: 'GET', path: signed(next) });
    await client.must(404, { method: 'HEAD', path: signed(next) });
    assert.deepEqual(warned, [{ path }, { path }]);
    server.close();
  });
});

it('a frequent warning is logged once a minute with its count', () => {
  const logged: object[] = [];
  let now = 0;
  const log = { warn: (fields: object, message: string) => logged.push({ ...fields, message }) };
  const warn = throttledWarning(log as unknown as Parameters<typeof throttledWarning>[0], 'often', () => now);
  for (const at of [0, 1, 59_999, 60_000, 60_001, 200_000]) {
    now = at;
    warn({ at });
  }
  assert.deepEqual(logged, [
    { at: 0, message: 'often' },
    { at: 60_000, times: 3, message: 'often' },
    { at: 200_000, times: 2, message: 'often' },
  ]);
});

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
