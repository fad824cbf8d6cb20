/** How a server ends: at SIGTERM, at Ctrl-C, and at a second signal. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, send, someName } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, launch, type Server } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { serves } from '../servers/registry.ts';

const folder = await temporaryFolder('infra-stop');

after(() => {
  folder.remove();
});

interface Stopping extends Server {
  readonly url: string;
  /** Waits until it has written this. */
  said(text: string): Promise<void>;
}

async function start(settings: Record<string, string> = {}): Promise<Stopping> {
  const address = `127.0.0.1:${await freePort()}`;
  const env = cleanEnvironment({
    REGISTRY_HTTP_ADDR: address,
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
    ...settings,
  });
  const program = [programFile('lib/commands/stowage.ts'), 'serve'];
  const server = await launch(process.execPath, program, async () => await serves(address), { env });
  const said = async (text: string) => {
    for (let tries = 0; tries < 200 && !server.output().includes(text); tries++) await delay(20);
    assert.ok(server.output().includes(text), server.output());
  };
  return { ...server, url: `http://${address}`, said };
}

/** An upload whose body does not end before the test says so. */
async function beginUpload(url: string): Promise<ClientRequest> {
  const location = await new Client(url).startUpload(someName());
  const upload = request(location, { method: 'PATCH', agent: false });
  upload.on('error', () => undefined);
  upload.write('first');
  await delay(300);
  return upload;
}

async function finish(upload: ClientRequest): Promise<IncomingMessage> {
  upload.end('last');
  const [response] = (await once(upload, 'response')) as [IncomingMessage];
  response.resume();
  return response;
}

const get = async (url: string, path: string, agent: Agent | false = false) =>
  await send(url, { method: 'GET', path }, agent);

describe('SIGTERM', () => {
  it('makes a server unready at once, which takes connections for five seconds and finishes requests', async () => {
    const server = await start();
    const upload = await beginUpload(server.url);
    const began = performance.now();
    const stopped = server.stop('SIGTERM');
    await server.said('Stopping: /readyz answers 503 now');
    const { status, body } = await get(server.url, '/readyz');
    assert.deepEqual([status, body.toString()], [503, '{"status":"unready","unready":["shutdown"]}']);
    assert.equal((await get(server.url, '/livez')).status, 200);
    // Clients that keep a connection must not send the next request on it when it closes.
    const agent = new Agent({ keepAlive: true });
    const kept = await get(server.url, '/v2/', agent);
    assert.deepEqual([kept.status, kept.headers.connection], [200, 'close']);
    const refused = async () =>
      await Promise.race([
        get(server.url, '/v2/').then(
          () => false,
          () => true,
        ),
        // Node's cluster forgets a connection that a worker hands back after all have closed; it ends with the process.
        delay(1_500, true, { ref: false }),
      ]);
    while (!(await refused())) await delay(50);
    const seconds = (performance.now() - began) / 1000;
    assert.ok(seconds > 4.9 && seconds < 15, `${seconds} s`);
    await server.said('Waiting for 1 request, at most 10m. Another signal ends it at once.');
    const response = await finish(upload);
    assert.deepEqual([response.statusCode, response.headers.connection], [202, 'close']);
    assert.deepEqual(await stopped, { code: 0, signal: null });
    agent.destroy();
  });
});

describe('SIGHUP', () => {
  it('lets requests finish, as SIGTERM does', async () => {
    const server = await start();
    const upload = await beginUpload(server.url);
    const stopped = server.stop('SIGHUP');
    await server.said('Stopping: /readyz answers 503 now');
    assert.equal((await finish(upload)).statusCode, 202);
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });
});

describe('Ctrl-C', () => {
  it('ends an idle server at once', async () => {
    const server = await start();
    const began = performance.now();
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null });
    const seconds = (performance.now() - began) / 1000;
    assert.ok(seconds < 3, `${seconds} s`);
    assert.doesNotMatch(server.output(), /Waiting/);
  });

  it('cuts requests that are not over after the drain timeout, and logs how many', async () => {
    const server = await start({ REGISTRY_HTTP_DRAINTIMEOUT: '0.5s' });
    const upload = await beginUpload(server.url);
    const cut = new Promise((resolve) => upload.once('close', resolve));
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null });
    await cut;
    assert.match(server.output(), /Waiting for 1 request, at most 0\.5s/);
    assert.match(server.output(), /"level":"warn".*"requests":1.*drain timeout is over/);
  });

  it('says what a busy server waits for and for how long, and finishes it', async () => {
    const server = await start({ REGISTRY_HTTP_DRAINTIMEOUT: '90s' });
    const upload = await beginUpload(server.url);
    const stopped = server.stop('SIGINT');
    await server.said('Waiting for 1 request, at most 1m30s. Ctrl-C again ends it at once.');
    assert.equal((await finish(upload)).statusCode, 202);
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });

  it('ends a busy server at the second time, but not where npm passes on the first', async () => {
    const server = await start();
    const upload = await beginUpload(server.url);
    const stopped = server.stop('SIGINT');
    process.kill(server.pid, 'SIGINT');
    await server.said('Waiting for 1 request');
    await delay(1_200);
    process.kill(server.pid, 'SIGINT');
    assert.deepEqual(await stopped, { code: 1, signal: null });
    assert.match(server.output(), /Ended by a second signal, with 1 request in flight\./);
    upload.destroy();
  });
});
