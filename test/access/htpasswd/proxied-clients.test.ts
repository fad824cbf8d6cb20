import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../../lib/config/config.ts';
import { startServer } from '../../../lib/server/server.ts';
import { send } from '../../functions/client.ts';
import { folderStorage } from '../../servers/storage.ts';
import { line, right } from './lines.ts';

/** Wrong passwords of one client for one user, after which it has to wait. */
const most = 10;

/** Statuses of logins of alice by clients behind a proxy. */
async function logins(proxies: string, clients: readonly (readonly [address: string, password: string])[]) {
  const storage = await folderStorage();
  const server = await startServer(
    'server',
    loadConfig('server', {
      ...storage.settings,
      REGISTRY_HTTP_ADDR: '127.0.0.1:0',
      REGISTRY_HTTP_SECRET: 'the secret of a test with proxies',
      REGISTRY_HTTP_TRUSTEDPROXIES: proxies,
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_CONTENT: line('alice'),
      REGISTRY_LOG_LEVEL: 'error',
    }),
  );
  const statuses: number[] = [];
  try {
    for (const [address, password] of clients) {
      const authorization = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`;
      const headers = { authorization, 'x-forwarded-for': address };
      statuses.push((await send(server.url, { method: 'GET', path: '/v2/', headers })).status);
    }
  } finally {
    await server.stop();
    storage.remove();
  }
  return statuses;
}

const guesses = Array.from({ length: most + 1 }, (_, i) => ['192.0.2.1', `wrong-${i}`] as const);
const refused = [...Array.from({ length: most }, () => 401), 429];

describe('the limit on wrong passwords', () => {
  it('counts by client behind a trusted proxy', async () => {
    const others = [
      ['192.0.2.1', 'wrong'],
      ['192.0.2.2', right],
    ] as const;
    assert.deepEqual(await logins('127.0.0.1', [...guesses, ...others]), [...refused, 429, 200]);
  });

  it('counts all clients of a proxy that is not trusted as one', async () => {
    assert.deepEqual(await logins('', [...guesses, ['192.0.2.2', 'also wrong']]), [...refused, 429]);
  });
});
