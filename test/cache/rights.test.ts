import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bearer } from '../access/policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from '../access/policy-server.ts';
import { send } from '../functions/client.ts';

/** Who may pull gets as far as the upstream, at which nobody listens. */
const reached = 503;

describe('rights to a cache', () => {
  let registry: PolicyRegistry;

  before(async () => {
    const policy = `rules:
  - { who: alice, repositories: mirror/team/**, allow: pull }
  - { who: bob, repositories: team/**, allow: pull }
`;
    const upstream = {
      ...{ prefix: 'mirror/**', url: 'http://127.0.0.1:1', ns: 'images.example.com' },
      ...{ insecure: true, privateaddresses: true },
    };
    registry = await startPolicyRegistry(policy, ['alice', 'bob'], {
      settings: { REGISTRY_PROXY_UPSTREAMS: JSON.stringify([upstream]) },
    });
  });

  after(async () => {
    await registry.stop();
  });

  /** As a client that gets a token for what the challenge asks for. */
  const ask = async (path: string, user?: string, method = 'GET') => {
    const challenged = await send(registry.url, { method, path });
    const [, scope = ''] = /scope="([^"]+)"/.exec(challenged.headers['www-authenticate'] ?? '') ?? [];
    if (user === undefined) return challenged;
    return await send(registry.url, { method, path, headers: await bearer(registry.url, user, scope) });
  };

  it('are those of the name with the prefix, also where ns selects it', async () => {
    for (const path of [
      '/v2/mirror/team/app/manifests/v1',
      '/v2/team/app/manifests/v1?ns=images.example.com',
    ]) {
      assert.equal((await ask(path, 'alice')).status, reached);
      assert.equal((await ask(path, 'bob')).status, 403);
      const anonymous = await ask(path);
      assert.equal(anonymous.status, 401);
      assert.match(anonymous.headers['www-authenticate'] ?? '', /scope="repository:mirror\/team\/app:pull"/);
    }
  });

  it('of a name without it are those of a repository of its own, whatever the ns', async () => {
    for (const path of ['/v2/team/app/manifests/v1', '/v2/team/app/manifests/v1?ns=docker.io']) {
      assert.equal((await ask(path, 'bob')).status, 404);
      assert.equal((await ask(path, 'alice')).status, 403);
    }
  });

  it('are needed before anything else is said', async () => {
    assert.equal((await ask('/v2/mirror/other/app/manifests/v1', 'alice')).status, 403);
    assert.equal((await ask('/v2/mirror/team/app/blobs/uploads/', 'alice', 'POST')).status, 403);
  });
});
