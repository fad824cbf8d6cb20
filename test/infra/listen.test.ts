import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { Client, digestOf, indexType, manifest, withDigest } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { serve } from '../servers/stowage.ts';

describe('the streaming server', () => {
  let folder: Folder;
  const servers: StreamingServer[] = [];

  before(async () => {
    folder = await temporaryFolder('listen');
  });

  after(async () => {
    for (const server of servers) await server.stop();
    folder.remove();
  });

  async function start(
    settings: NodeJS.ProcessEnv,
    program: 'server' | 'data-plane' = 'server',
  ): Promise<Client> {
    const config = loadConfig(program, {
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder.path, 'images'),
      REGISTRY_LOG_LEVEL: 'error',
      ...settings,
    });
    const server = await startServer(program, config);
    servers.push(server);
    return new Client(server.url);
  }

  describe('with a prefix', () => {
    const prefix = { REGISTRY_HTTP_PREFIX: '/my/prefix/' };

    it('serves every route below the prefix, and none elsewhere', async () => {
      const client = await start(prefix);
      await client.must(200, { method: 'GET', path: '/my/prefix/v2/' });
      for (const path of [
        '/v2/',
        '/my/v2/',
        '/my/prefixv2/',
        '/my/prefix//v2/',
        '/my/%70refix/v2/',
        '/my/prefix',
      ])
        await client.must(404, { method: 'GET', path });
    });

    it('repeats the prefix in every Location and Link', async () => {
      const client = await start(prefix);
      const begun = await client.must(202, { method: 'POST', path: '/my/prefix/v2/team/app/blobs/uploads/' });
      assert.match(begun.headers.location ?? '', /^\/my\/prefix\/v2\/team\/app\/blobs\/uploads\//);
      const bytes = randomBytes(20);
      const put = { method: 'PUT', path: withDigest(client.location(begun), digestOf(bytes)), body: bytes };
      const blob = await client.must(201, put);
      assert.equal(blob.headers.location, `/my/prefix/v2/team/app/blobs/${digestOf(bytes)}`);
      const index = manifest({ manifests: [] }, indexType);
      for (const tag of ['v1', 'v2']) {
        const path = `/my/prefix/v2/team/app/manifests/${tag}`;
        const pushed = await client.must(201, {
          method: 'PUT',
          path,
          headers: { 'content-type': indexType },
          body: index,
        });
        assert.match(pushed.headers.location ?? '', /^\/my\/prefix\/v2\/team\/app\/manifests\//);
      }
      const page = await client.must(200, { method: 'GET', path: '/my/prefix/v2/team/app/tags/list?n=1' });
      assert.equal(page.headers['link'], '</my/prefix/v2/team/app/tags/list?last=v1&n=1>; rel="next"');
    });

    it('repeats the prefix in absolute URLs, and in the realm of its token service', async () => {
      const policy = join(folder.path, 'policy.yaml');
      writeFileSync(policy, 'rules: []\n');
      const client = await start({ ...prefix, REGISTRY_HTTP_HOST: 'https://registry.example' });
      const begun = await client.must(202, { method: 'POST', path: '/my/prefix/v2/a/blobs/uploads/' });
      assert.match(
        begun.headers.location ?? '',
        /^https:\/\/registry\.example\/my\/prefix\/v2\/a\/blobs\/uploads\//,
      );
      const guarded = await start({
        ...prefix,
        REGISTRY_AUTH: 'policy',
        REGISTRY_AUTH_POLICY_PATH: policy,
        REGISTRY_HTTP_SECRET: 's'.repeat(32),
      });
      const refused = await guarded.send({ method: 'GET', path: '/my/prefix/v2/' });
      const [, realm = ''] = /realm="([^"]*)"/.exec(refused.headers['www-authenticate'] ?? '') ?? [];
      assert.equal(realm, `${guarded.base}/my/prefix/token`);
      assert.notEqual((await guarded.send({ method: 'GET', path: realm })).status, 404);
    });

    it('a data plane with a prefix points back at the functions without it', async () => {
      const host = { REGISTRY_HTTP_HOST: 'http://functions', REGISTRY_HTTP_SECRET: 's'.repeat(32) };
      const functions = await start({ REGISTRY_HTTP_SECRET: 's'.repeat(32) });
      const dataPlane = await start({ ...prefix, ...host }, 'data-plane');
      const begun = await functions.must(202, { method: 'POST', path: '/v2/team/plane/blobs/uploads/' });
      const bytes = randomBytes(20);
      const location = `${dataPlane.base}/my/prefix${begun.headers.location ?? ''}`;
      const next = await dataPlane.must(202, { method: 'PATCH', path: location, body: bytes });
      assert.match(next.headers.location ?? '', /^\/my\/prefix\/v2\//);
      const put = { method: 'PUT', path: withDigest(dataPlane.location(next), digestOf(bytes)) };
      const { headers } = await dataPlane.must(201, put);
      assert.equal(headers.location, `http://functions/v2/team/plane/blobs/${digestOf(bytes)}`);
    });
  });

  it('adds the headers that are set to every answer, but not over its own', async () => {
    const client = await start({
      REGISTRY_HTTP_HEADERS: JSON.stringify({
        'Strict-Transport-Security': ['max-age=300'],
        'X-Two': ['a', 'b'],
        'X-Content-Type-Options': ['nosniff'],
      }),
    });
    for (const path of ['/v2/', '/v2/none/tags/list', '/elsewhere']) {
      const { headers } = await client.send({ method: 'GET', path });
      assert.equal(headers['strict-transport-security'], 'max-age=300');
      assert.equal(headers['x-two'], 'a, b');
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0');
    }
  });

  describe('at a Unix socket', () => {
    const unix = (path: string) => ({
      REGISTRY_HTTP_NET: 'unix',
      REGISTRY_HTTP_ADDR: path,
      REGISTRY_AUTH: 'none',
    });

    const get = async (socketPath: string): Promise<number> => {
      const asked = request({ socketPath, path: '/v2/', agent: false }).end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      response.resume();
      return response.statusCode ?? 0;
    };

    const run = async (path: string) => {
      const ready = async () => (await get(path)) === 200;
      return await serve(join(folder.path, 'images'), unix(path), undefined, ready);
    };

    it('answers, and removes the file when it stops', async () => {
      const path = join(folder.path, 'registry.sock');
      const registry = await run(path);
      assert.match(registry.output(), /The registry listens at unix:\/.*registry\.sock/);
      await registry.stop();
      assert.ok(!existsSync(path));
    });

    it('replaces the file of a server that was killed, and leaves that of one that runs', async () => {
      const path = join(folder.path, 'stale.sock');
      const killed = await run(path);
      await killed.kill();
      assert.ok(existsSync(path));
      const registry = await run(path);
      const images = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder.path, 'images') };
      const env = cleanEnvironment({ ...unix(path), ...images });
      const program = join(import.meta.dirname, '../../lib/commands/stowage.ts');
      await assert.rejects(
        command(process.execPath, [program, 'serve'], { env }),
        /another program listens at this socket/,
      );
      assert.equal(await get(path), 200);
      await registry.stop();
    });

    it('leaves the file of its successor when it stops, and a file that is no socket', async () => {
      const path = join(folder.path, 'taken-over.sock');
      const older = await run(path);
      rmSync(path);
      const newer = await run(path);
      await older.stop();
      assert.equal(await get(path), 200);
      rmSync(path);
      writeFileSync(path, 'precious');
      await newer.stop();
      assert.equal(readFileSync(path, 'utf8'), 'precious');
    });

    it('does not touch a file that is no socket', async () => {
      const path = join(folder.path, 'file');
      writeFileSync(path, 'precious');
      await assert.rejects(start(unix(path)), { code: 'EADDRINUSE' });
      assert.ok(existsSync(path));
      await assert.rejects(once(connect(path), 'connect'));
    });
  });
});
