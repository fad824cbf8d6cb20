import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { send } from '../functions/client.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { requests } from './endpoints.ts';
import { basic, bearer, htpasswdOf, policySettings, type PolicySettings } from './policy-registry.ts';

const policy = `
rules:
  - { who: admin, repositories: team/app, allow: '*' }
  - { who: reader, repositories: team/app, allow: pull }
`;

const scopes = ['repository:team/app:pull,push,delete', 'registry:catalog:*'];

describe('settings that hold for every caller', () => {
  let access: PolicySettings;
  let storage: TestStorage;
  const servers: StreamingServer[] = [];

  before(async () => {
    [access, storage] = await Promise.all([policySettings(policy, ['admin', 'reader']), folderStorage()]);
  });

  after(async () => {
    await Promise.all(
      servers.map(async (server) => {
        await server.stop();
      }),
    );
    storage.remove();
    access.remove();
  });

  const start = async (more: Readonly<Record<string, string>>) => {
    const settings = { ...storage.settings, REGISTRY_LOG_LEVEL: 'error', REGISTRY_HTTP_ADDR: '127.0.0.1:0' };
    const server = await startServer('server', loadConfig('server', { ...settings, ...more }));
    servers.push(server);
    return server.url;
  };

  const statuses = async (
    base: string,
    headers: Readonly<Record<string, string>>,
    isMeant: (request: (typeof requests)[number]) => boolean,
  ) => {
    const found = requests.filter(isMeant).map(async ({ group, method, path }) => {
      const { status } = await send(base, { method, path, headers });
      return [`${group} ${method}`, status] as const;
    });
    return Object.fromEntries(await Promise.all(found));
  };

  for (const user of ['admin', 'reader'] as const)
    it(`lets ${user} delete nothing where deletes are disabled (CVE-2026-41888)`, async () => {
      const base = await start({ ...access.settings, REGISTRY_STORAGE_DELETE_ENABLED: 'false' });
      const headers = await bearer(base, user, ...scopes);
      const deletes = await statuses(base, headers, ({ need }) => need === 'delete');
      assert.deepEqual(deletes, { 'manifests DELETE': 405, 'blobs DELETE': 405 });
    });

  it('lets the one who may do everything write nothing to a read-only registry', async () => {
    const base = await start({
      ...access.settings,
      REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true',
    });
    const headers = await bearer(base, 'admin', ...scopes);
    const writes = await statuses(
      base,
      headers,
      ({ group, method }) => !['GET', 'HEAD'].includes(method) && group !== 'token',
    );
    assert.ok(Object.keys(writes).length >= 6);
    for (const [what, status] of Object.entries(writes)) assert.equal(status, 405, what);
  });

  it('lets users of a password file do everything, and nobody else anything', async () => {
    const base = await start({
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_CONTENT: await htpasswdOf(['alice']),
    });
    const isOpen = ({ group, path }: (typeof requests)[number]) =>
      group === 'health' || group === 'token' || path === '/v1/_ping';
    for (const headers of [{}, basic('alice', 'wrong'), { authorization: 'Bearer x.y.z' }])
      for (const [what, status] of Object.entries(await statuses(base, headers, (one) => !isOpen(one))))
        // Guesses are slowed down after ten.
        assert.ok(status === 401 || status === 429, `${what}: ${status}`);
    for (const [what, status] of Object.entries(await statuses(base, basic('alice'), (one) => !isOpen(one))))
      assert.ok(![401, 403, 429].includes(status), `${what}: ${status}`);
  });
});
