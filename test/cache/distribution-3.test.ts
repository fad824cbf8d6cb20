import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer } from '../../lib/server/server.ts';
import { htpasswdOf } from '../access/policy-registry.ts';
import { Client } from '../functions/client.ts';
import { distribution3 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage } from '../servers/storage.ts';
import { tokenServer } from '../upstream/token-server.ts';
import { alice } from '../upstream/upstreams.ts';
import { pullImage, pushUpstream } from './pulled-images.ts';

/** What distribution reads, and who may pull from it. */
type Auth = (context: TestContext, folder: string) => Promise<Readonly<Record<string, string>>>;

const withBasic: Auth = async (_, folder) => {
  const path = join(folder, 'htpasswd');
  await writeFile(path, await htpasswdOf([alice.user]));
  return { REGISTRY_AUTH_HTPASSWD_REALM: 'images', REGISTRY_AUTH_HTPASSWD_PATH: path };
};

const withTokens: Auth = async (context, folder) => {
  const server = await tokenServer(alice.user);
  context.after(async () => {
    await server.stop();
  });
  const path = join(folder, 'keys.json');
  await writeFile(path, server.keys);
  return {
    REGISTRY_AUTH_TOKEN_REALM: server.url,
    REGISTRY_AUTH_TOKEN_SERVICE: server.service,
    REGISTRY_AUTH_TOKEN_ISSUER: server.issuer,
    REGISTRY_AUTH_TOKEN_JWKS: path,
  };
};

describe('a cache of distribution 3', requires(distribution3.needs), () => {
  for (const [what, auth] of [
    ['with tokens of a server of its own', withTokens],
    ['with basic authentication', withBasic],
  ] as const)
    it(`${what}: an image comes through, and its credentials are needed`, async (context) => {
      const [theirs, ours] = [await folderStorage(), await folderStorage()];
      const folder = await temporaryFolder('distribution-3');
      context.after(() => {
        for (const each of [theirs, ours, folder]) each.remove();
      });
      const image = await pushUpstream(await theirs.open(), randomBytes(1_000_000));
      const original = await distribution3.start({
        ...theirs.settings,
        ...(await auth(context, folder.path)),
      });
      context.after(async () => {
        await original.stop();
      });
      const upstream = {
        url: `http://${original.address}`,
        ...{ insecure: true, privateaddresses: true, username: alice.user },
      };
      const server = await startServer(
        'server',
        loadConfig('server', {
          ...ours.settings,
          REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
          REGISTRY_HTTP_SECRET: 'the secret of a test',
          REGISTRY_LOG_LEVEL: 'error',
          REGISTRY_PROXY_UPSTREAMS: JSON.stringify([
            { ...upstream, prefix: 'mirror/**', password: alice.password },
            { ...upstream, prefix: 'wrong/**', password: 'no password of alice', ns: 'wrong.example.com' },
          ]),
        }),
      );
      context.after(async () => {
        await server.stop();
      });
      const client = new Client(server.url);
      await pullImage(client, `mirror/${image.name}`, image);
      const path = `/v2/wrong/${image.name}/manifests/v1`;
      const { status, body } = await client.send({ method: 'GET', path });
      assert.equal(status, 403);
      assert.match(body.toString(), /check the credentials that this registry has for it/);
    });
});
