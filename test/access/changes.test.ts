import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { Client, digestOf, send, type Ask } from '../functions/client.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { askToken, bearer, htpasswdOf, policySettings, type PolicySettings } from './policy-registry.ts';

const everything = "allow: '*'";

const policyOf = (developers: string) => `
groups:
  developers: [${developers}]
rules:
  - { who: group:developers, repositories: '**', ${everything} }
`;

describe('a change of users or permissions', () => {
  let access: PolicySettings;
  let storage: TestStorage;
  let server: StreamingServer;

  before(async () => {
    [access, storage] = await Promise.all([
      policySettings(policyOf('alice, bob'), ['alice', 'bob']),
      folderStorage(),
    ]);
    server = await startServer(
      'server',
      loadConfig('server', {
        ...access.settings,
        ...storage.settings,
        REGISTRY_LOG_LEVEL: 'error',
        REGISTRY_HTTP_ADDR: '127.0.0.1:0',
      }),
    );
  });

  after(async () => {
    await server.stop();
    storage.remove();
    access.remove();
  });

  const statusOf = async (headers: Ask['headers'], method = 'GET', path = '/v2/team/app/tags/list') =>
    (await send(server.url, { method, path, ...(headers && { headers }) })).status;

  /** A file is looked at again after a second. */
  const eventually = async (expected: number, ask: () => Promise<number>) => {
    const deadline = Date.now() + 20_000;
    let status = await ask();
    while (status !== expected && Date.now() < deadline) {
      await delay(100);
      status = await ask();
    }
    assert.equal(status, expected);
  };

  it('denies the holder of a valid token who has left a group (GHSA-c9p4-xwr9-rfhx)', async () => {
    const headers = await bearer(server.url, 'bob', 'repository:team/app:pull,push');
    assert.equal(await statusOf(headers), 404);
    await writeFile(access.policyPath, policyOf('alice'));
    await eventually(403, async () => await statusOf(headers));
    assert.equal(await statusOf(headers, 'POST', '/v2/team/app/blobs/uploads/'), 403);
    await writeFile(access.policyPath, policyOf('alice, bob'));
    await eventually(404, async () => await statusOf(headers));
  });

  it('keeps the last good policy in force while the file is broken', async () => {
    const headers = await bearer(server.url, 'alice', 'repository:team/app:pull');
    await writeFile(access.policyPath, 'rules: [');
    await delay(1_500);
    assert.equal(await statusOf(headers), 404);
    await writeFile(access.policyPath, policyOf('bob'));
    await eventually(403, async () => await statusOf(headers));
    await writeFile(access.policyPath, policyOf('alice, bob'));
    await eventually(404, async () => await statusOf(headers));
  });

  it('voids the refresh token of a user whose line in the password file has changed or gone', async () => {
    const refreshTokens = new Map<string, string>();
    for (const user of ['alice', 'bob']) {
      const reply = await askToken(server.url, user, [], { offline_token: 'true' });
      const { refresh_token: token } = JSON.parse(reply.body.toString()) as { refresh_token: string };
      refreshTokens.set(user, token);
    }
    const refresh = async (user: string) =>
      (
        await send(server.url, {
          method: 'POST',
          path: '/token',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: Buffer.from(
            new URLSearchParams({
              grant_type: 'refresh_token',
              refresh_token: refreshTokens.get(user) ?? '',
              service: 'stowage',
            }).toString(),
          ),
        })
      ).status;
    assert.deepEqual([await refresh('alice'), await refresh('bob')], [200, 200]);
    // Another salt, as after a new password, and no bob.
    await writeFile(access.htpasswdPath, await htpasswdOf(['alice']));
    await eventually(401, async () => await refresh('alice'));
    assert.equal(await refresh('bob'), 401);
    await writeFile(access.htpasswdPath, await htpasswdOf(['alice', 'bob']));
  });

  it('makes a blob that was deleted from one repository unreadable there, though it is read in another (CVE-2026-35172)', async () => {
    const client = new Client(server.url);
    const layer = Buffer.from('a layer of two repositories');
    const digests = await Promise.all(
      ['team/one', 'team/two'].map(async (name) => {
        const headers = await bearer(server.url, 'alice', `repository:${name}:pull,push,delete`);
        const start = await send(server.url, { method: 'POST', path: `/v2/${name}/blobs/uploads/`, headers });
        const digest = digestOf(layer);
        const location = new URL(client.location(start));
        location.searchParams.set('digest', digest);
        const path = location.pathname + location.search;
        assert.equal((await send(server.url, { method: 'PUT', path, headers, body: layer })).status, 201);
        return { digest, headers, path: `/v2/${name}/blobs/${digest}` };
      }),
    );
    const [one, two] = digests;
    assert.ok(one !== undefined && two !== undefined);
    assert.equal(await statusOf(one.headers, 'GET', one.path), 200);
    assert.equal(await statusOf(one.headers, 'DELETE', one.path), 202);
    assert.equal(await statusOf(two.headers, 'GET', two.path), 200);
    assert.equal(await statusOf(one.headers, 'GET', one.path), 404);
    assert.equal(await statusOf(one.headers, 'HEAD', one.path), 404);
  });

  it('lets users of a read-only registry log in and pull', async () => {
    const readOnly = await startServer(
      'server',
      loadConfig('server', {
        ...access.settings,
        ...storage.settings,
        REGISTRY_LOG_LEVEL: 'error',
        REGISTRY_HTTP_ADDR: '127.0.0.1:0',
        REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true',
      }),
    );
    try {
      const refreshed = await send(readOnly.url, {
        method: 'POST',
        path: '/token',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: Buffer.from('grant_type=password&username=alice&password=wrong'),
      });
      assert.equal(refreshed.status, 401);
      const headers = await bearer(readOnly.url, 'alice', 'repository:team/app:pull,push');
      const path = '/v2/team/app/tags/list';
      assert.equal((await send(readOnly.url, { method: 'GET', path, headers })).status, 404);
      const upload = { method: 'POST', path: '/v2/team/app/blobs/uploads/', headers };
      assert.equal((await send(readOnly.url, upload)).status, 405);
    } finally {
      await readOnly.stop();
    }
  });

  it('takes the state of an upload for no other repository', async () => {
    const client = new Client(server.url);
    const headers = await bearer(
      server.url,
      'alice',
      'repository:team/one:pull,push',
      'repository:team/two:pull,push',
    );
    const start = await send(server.url, { method: 'POST', path: '/v2/team/one/blobs/uploads/', headers });
    const { pathname, search } = new URL(client.location(start));
    assert.equal(await statusOf(headers, 'GET', pathname + search), 204);
    const elsewhere = pathname.replace('team/one', 'team/two') + search;
    assert.equal(await statusOf(headers, 'GET', elsewhere), 400);
    assert.equal(await statusOf({}, 'PATCH', pathname + search), 401);
  });
});
