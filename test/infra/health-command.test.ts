import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { testCertificate, testKey } from '../servers/certificate.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve } from '../servers/stowage.ts';
import { runToEnd } from './run-node.ts';

const folder = await temporaryFolder('health-command');
const [certificate, key] = [join(folder.path, 'certificate.pem'), join(folder.path, 'key.pem')];
await writeFile(certificate, testCertificate);
await writeFile(key, testKey);

const tls = { REGISTRY_HTTP_TLS_CERTIFICATE: certificate, REGISTRY_HTTP_TLS_KEY: key };

after(() => {
  folder.remove();
});

/**
 * Starts a server, and runs `stowage health` with the same settings.
 * @param args of further runs
 * @returns what it said at last, for each run
 */
async function healthOf(settings: Record<string, string>, ...args: string[]) {
  const env = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, ...settings };
  const health = async (...more: string[]) => await runToEnd(['health', ...more], env);
  let answer = await health();
  assert.equal(answer.code, 1, 'there is no server yet');
  const alive = async () => (answer = await health()).code === 0;
  const server = await serve(join(folder.path, 'images'), env, undefined, alive);
  try {
    return [answer, ...(args.length > 0 ? [await health(...args)] : [])];
  } finally {
    await server.kill();
  }
}

describe('stowage health', () => {
  it('succeeds beside a server that answers, also at other paths', async () => {
    assert.deepEqual(await healthOf({}, '/readyz'), [
      { code: 0, output: '/livez: 200\n' },
      { code: 0, output: '/readyz: 200\n' },
    ]);
  });

  it('finds a server at every address, and below a prefix', async () => {
    const settings = { REGISTRY_HTTP_ADDR: `:${await freePort()}`, REGISTRY_AUTH: 'none' };
    const answers = await healthOf({ ...settings, REGISTRY_HTTP_PREFIX: '/my/prefix/' }, '/v2/');
    assert.deepEqual(answers.at(-1), { code: 1, output: '/v2/: 404\n' });
  });

  it('asks by TLS where the server speaks it', async () => {
    await healthOf(tls);
  });

  it('counts a server that demands a client certificate as alive, in each version of TLS', async () => {
    for (const version of ['tls1.2', 'tls1.3']) {
      const clients = {
        REGISTRY_HTTP_TLS_CLIENTCAS: `[${certificate}]`,
        REGISTRY_HTTP_TLS_MINIMUMTLS: version,
      };
      assert.deepEqual(await healthOf({ ...tls, ...clients }, '/readyz'), [
        { code: 0, output: '/livez: the server demands a client certificate\n' },
        { code: 1, output: '/readyz: the server demands a client certificate\n' },
      ]);
    }
  });

  it('asks at a Unix socket', async () => {
    const address = join(folder.path, 'socket');
    await healthOf({ REGISTRY_HTTP_NET: 'unix', REGISTRY_HTTP_ADDR: address, REGISTRY_AUTH: 'none' });
  });

  it('reads the configuration file', async () => {
    const file = join(folder.path, 'config.yml');
    const address = `127.0.0.1:${await freePort()}`;
    await writeFile(file, `version: 0.1\nhttp:\n  addr: ${address}\nauth: none\n`);
    const { code, output } = await runToEnd(['health'], { REGISTRY_CONFIGURATION_PATH: file });
    assert.deepEqual(
      { code, output },
      { code: 1, output: `health failed: connect ECONNREFUSED ${address}.\n` },
    );
  });

  it('refuses what is no path', async () => {
    const { code, output } = await runToEnd(['health', 'livez'], {});
    assert.equal(code, 2);
    assert.match(output, /^health takes one path, such as \/readyz\n\nUsage: stowage health/);
  });
});
