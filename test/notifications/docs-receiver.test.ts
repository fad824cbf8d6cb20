import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { Client } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, launch, type Server } from '../servers/process.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { until } from './delivering.ts';

const page = resolve(import.meta.dirname, '../../docs/events.md');

/** The first block of code in a language. */
function blockIn(text: string, language: string): string {
  const [, block] = new RegExp(`\`\`\`${language}\n(.*?)\n\`\`\``, 's').exec(text) ?? [];
  return block ?? assert.fail(`there is no ${language} on the page`);
}

describe('the receiver in docs/events.md', () => {
  const secret = randomBytes(32).toString('hex');
  let folder: Folder;
  let storage: TestStorage;
  let port: number;
  let receiving: Server;
  let registry: StreamingServer;

  before(async () => {
    const text = await readFile(page, 'utf8');
    [folder, storage, port] = await Promise.all([temporaryFolder('receiver'), folderStorage(), freePort()]);
    await writeFile(join(folder.path, 'receiver.mjs'), blockIn(text, 'js'));
    receiving = await receive();
    // As the page starts it.
    const [, endpoints = ''] =
      /REGISTRY_NOTIFICATIONS_ENDPOINTS="(.*)" stowage serve/.exec(blockIn(text, 'sh')) ?? [];
    const settings = {
      ...storage.settings,
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_HTTP_WORKERS: '1',
      REGISTRY_HTTP_SECRET: 'the secret of a test, as any other',
      REGISTRY_LOG_LEVEL: 'error',
      REGISTRY_NOTIFICATIONS_ENDPOINTS: endpoints.replace('$SECRET', secret).replace(':8080', `:${port}`),
    };
    registry = await startServer('server', loadConfig('server', settings));
  });

  after(async () => {
    await registry.stop();
    await receiving.stop();
    storage.remove();
    folder.remove();
  });

  async function receive(): Promise<Server> {
    const env = cleanEnvironment({ SECRET: secret, PORT: String(port) });
    const isReady = async () => await send({}).then(() => true);
    return await launch(process.execPath, [join(folder.path, 'receiver.mjs')], isReady, { env });
  }

  const event = { id: 'an-id', action: 'push', target: { repository: 'forged', digest: 'sha256:0' } };
  const body = JSON.stringify({ events: [event] });

  async function send(headers: Readonly<Record<string, string>>): Promise<number> {
    return (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body })).status;
  }

  const signed = (at: number, key: string, text = body) => ({
    'webhook-id': 'an-id',
    'webhook-timestamp': String(at),
    'webhook-signature': `v1,${createHmac('sha256', key).update(`an-id.${at}.${text}`).digest('base64')}`,
  });

  /** Without the ids of the events, once it has printed something. */
  async function printed(what: string): Promise<readonly string[]> {
    await until(() => receiving.output().includes(what));
    const lines = receiving.output().trim().split('\n');
    return lines.map((line) => line.split(' ').slice(1).join(' '));
  }

  it('prints a line for each blob of a push, and one for its tag', async () => {
    const { digest, layer } = await new Client(registry.url).pushImage('team/app', 'v1');
    const lines = await printed('team/app:v1');
    assert.equal(lines.length, 3);
    assert.equal(lines[1], `push team/app ${layer}`);
    assert.equal(lines[2], `push team/app:v1 ${digest}`);
  });

  it('is told later of what was pushed while it was down', async () => {
    process.kill(receiving.pid, 'SIGKILL');
    await receiving.stop();
    const { digest } = await new Client(registry.url).pushImage('team/app', 'v2');
    receiving = await receive();
    const lines = await printed('team/app:v2');
    assert.equal(lines.length, 3);
    assert.equal(lines[2], `push team/app:v2 ${digest}`);
  });

  it('refuses what the registry has not signed, or has signed long ago', async () => {
    const now = Math.floor(Date.now() / 1000);
    const refused = [
      {},
      signed(now, 'another secret'),
      signed(now, secret, 'another body'),
      signed(now - 301, secret),
    ];
    assert.deepEqual(await Promise.all(refused.map(send)), [401, 401, 401, 401]);
    assert.ok(!receiving.output().includes('forged'));
    assert.equal(await send(signed(now, secret)), 200);
    assert.ok(receiving.output().includes('forged'));
  });
});
