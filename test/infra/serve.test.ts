import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, digestOf, someName, withDigest } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { pushMuch } from './large-push.ts';
import { freePort } from '../servers/ports.ts';
import { serves } from '../servers/registry.ts';
import { cleanEnvironment } from '../servers/process.ts';
import { serve } from '../servers/stowage.ts';
import { runToEnd } from './run-node.ts';

const folder = await temporaryFolder('infra-serve');

after(() => {
  folder.remove();
});

const run = async (env: NodeJS.ProcessEnv) => await runToEnd(['serve'], env);

function begin(url: string, method: string, headers: Record<string, string> = {}): ClientRequest {
  return request(url, { method, headers, agent: false });
}

async function answerOf(asked: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.resume();
  return response;
}

describe('stowage serve', () => {
  it('serve exits with one message that lists every fault of its settings', async () => {
    const { code, output } = await run({
      REGISTRY_HTTP_ADDR: 'nowhere',
      REGISTRY_STORAGE: 'tape',
      REGISTRY_STORAGE_DELETE_ENABLED: 'perhaps',
      REGISTRY_HTTP_SERCET: 'do-not-print-this',
    });
    assert.equal(code, 1);
    for (const name of ['HTTP_ADDR', 'STORAGE', 'STORAGE_DELETE_ENABLED', 'HTTP_SERCET'])
      assert.match(output, new RegExp(`REGISTRY_${name}: `));
    assert.doesNotMatch(output, /do-not-print-this|\n\s+at /);
  });

  it('serve refuses an unknown argument', async () => {
    const { code, output } = await runToEnd(['serve', 'dataplane'], {});
    assert.match(
      output,
      /^"dataplane" is not a known argument; did you mean data-plane\?\n\nUsage: stowage serve/,
    );
    assert.equal(code, 2);
  });

  it('serve finishes an upload and exits with 0 when npm or its process group is stopped', async () => {
    for (const group of [false, true]) {
      const port = await freePort();
      const env = cleanEnvironment({
        REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`,
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
      });
      const npm = spawn('npm', ['run', 'serve'], { env, detached: true, stdio: 'ignore' });
      while (!(await serves(`127.0.0.1:${port}`).catch(() => false))) await delay(100);
      const upload = begin(await new Client(`http://127.0.0.1:${port}`).startUpload(someName()), 'PATCH');
      upload.write('first');
      await delay(200);
      process.kill(group ? -(npm.pid ?? 0) : (npm.pid ?? 0), 'SIGTERM');
      await delay(500);
      upload.end('second');
      assert.equal((await answerOf(upload)).statusCode, 202);
      if (npm.exitCode === null && npm.signalCode === null) await once(npm, 'exit');
      await delay(300);
      await assert.rejects(serves(`127.0.0.1:${port}`));
    }
  });

  it(
    'serve continues with its log on a full disk and exits with 0',
    { skip: !existsSync('/dev/full') },
    async () => {
      const address = `127.0.0.1:${await freePort()}`;
      const env = cleanEnvironment({
        REGISTRY_HTTP_ADDR: address,
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
      });
      const log = await open('/dev/full', 'w');
      const args = [join(import.meta.dirname, '../../lib/commands/stowage.ts'), 'serve'];
      const server = spawn(process.execPath, args, { env, stdio: ['ignore', log.fd, 'ignore'] });
      const ended = once(server, 'exit');
      await log.close();
      try {
        while (!(await serves(address).catch(() => false)) && server.exitCode === null) await delay(100);
        for (let i = 0; i < 3; i++) assert.ok(await serves(address));
      } finally {
        server.kill('SIGINT');
      }
      assert.deepEqual(await ended, [0, null]);
    },
  );

  it('exits with 0 at SIGTERM while it waits for its storage', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const env = cleanEnvironment({
      REGISTRY_HTTP_ADDR: '127.0.0.1:0',
      REGISTRY_STORAGE_S3_REGIONENDPOINT: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_ACCESSKEY: 'key',
      REGISTRY_STORAGE_S3_SECRETKEY: 'secret',
    });
    const args = [join(import.meta.dirname, '../../lib/commands/stowage.ts'), 'serve'];
    const server = spawn(process.execPath, args, { env, stdio: 'ignore' });
    await once(silent, 'request');
    server.kill();
    assert.deepEqual(await once(server, 'exit'), [0, null]);
    silent.closeAllConnections();
    silent.close();
  });

  it('serve reports that its port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, output } = await run({
      REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
    });
    other.close();
    assert.equal(code, 1);
    assert.match(output, /another program listens there; set REGISTRY_HTTP_ADDR/);
    assert.doesNotMatch(output, /\n\s+at /);
  });

  for (const folder of [import.meta.filename, '/proc/registry/images'])
    it(
      `serve reports that images cannot be stored in ${folder.split('/').at(-1) ?? ''}`,
      { timeout: 20_000 },
      async () => {
        const { code, output } = await run({
          REGISTRY_HTTP_ADDR: '127.0.0.1:0',
          REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder,
        });
        assert.equal(code, 1);
        assert.match(output, /cannot start/);
        assert.doesNotMatch(output, /\n\s+at /);
      },
    );

  it('serve finishes an upload after Ctrl-C, takes no new requests and exits with 0', async () => {
    const registry = await serve(folder.path);
    const client = new Client(`http://${registry.address}`);
    const [name, bytes] = [someName(), randomBytes(3_000_000)];
    const location = await client.startUpload(name);
    const upload = begin(withDigest(location, digestOf(bytes)), 'PUT');
    upload.write(bytes.subarray(0, 1_000_000));
    await delay(300);
    const stopped = registry.stop();
    await delay(300);
    await assert.rejects(client.send({ method: 'GET', path: '/v2/' }), { code: 'ECONNREFUSED' });
    upload.end(bytes.subarray(1_000_000));
    assert.equal((await answerOf(upload)).statusCode, 201);
    // Fails unless the exit code is 0.
    await stopped;
  });

  it('keeps an upload session when a client hangs up, so the upload can continue', async () => {
    const registry = await serve(folder.path);
    const client = new Client(`http://${registry.address}`);
    const [name, bytes] = [someName(), randomBytes(12_000_000)];
    const location = await client.sendChunk(await client.startUpload(name), 0, bytes.subarray(0, 6_000_000));
    const broken = begin(location, 'PATCH');
    broken.on('error', () => undefined);
    broken.write(bytes.subarray(6_000_000, 9_000_000));
    await delay(200);
    broken.destroy();
    const status = await client.must(204, { method: 'GET', path: location });
    assert.equal(status.headers.range, '0-5999999');
    const next = await client.sendChunk(location, 6_000_000, bytes.subarray(6_000_000));
    await client.must(201, { method: 'PUT', path: withDigest(next, digestOf(bytes)) });
    await registry.stop();
  });

  it('Ctrl-C closes idle connections, and others after their response', async () => {
    const registry = await serve(folder.path);
    const client = new Client(`http://${registry.address}`);
    const location = new URL(await client.startUpload(someName()));
    const [host = '', port] = registry.address.split(':');
    const [silent, busy] = [connect(Number(port), host), connect(Number(port), host)];
    await Promise.all([once(silent, 'connect'), once(busy, 'connect')]);
    busy.write(
      `PATCH ${location.pathname}${location.search} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n12`,
    );
    await delay(300);
    const stopped = registry.stop();
    await once(silent, 'close');
    busy.write('34GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    const answers = (await busy.toArray()).join('');
    await stopped;
    assert.match(answers, /^HTTP\/1\.1 202 /);
  });

  it('answers an empty upload in one packet', async () => {
    const registry = await serve(folder.path);
    const [host = '', port] = registry.address.split(':');
    const socket = connect(Number(port), host);
    const path = `/v2/${someName()}/blobs/uploads/?digest=${digestOf(Buffer.alloc(0))}`;
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
    );
    const answer = (await socket.toArray()).join('');
    await registry.stop();
    assert.match(answer, /^HTTP\/1\.1 201 /);
  });

  it('answers that an upload is unknown while its body is still being sent', async () => {
    const registry = await serve(folder.path);
    const [host = '', port] = registry.address.split(':');
    const path = '/v2/a/blobs/uploads/8c0d5c0b-9c0a-4c0e-8c0b-1c0d2c0e3c0f';
    const socket = connect(Number(port), host);
    socket.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n`);
    socket.write(Buffer.alloc(10_000_000));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.write(Buffer.alloc(10_000_000));
    // The connection is still good for what comes next.
    socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    const [next] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    await registry.stop();
    assert.match(answer.toString(), /^HTTP\/1\.1 404 /);
    assert.match(next.toString(), /^HTTP\/1\.1 200 /);
  });

  it('logs nothing of a request that is not HTTP', async () => {
    const registry = await serve(folder.path);
    const location = new URL(await new Client(`http://${registry.address}`).startUpload(someName()));
    const [host = '', port] = registry.address.split(':');
    const socket = connect(Number(port), host);
    const head = `PATCH ${location.pathname}${location.search} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic secret`;
    socket.write(`${head}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzzz\r\n`);
    await socket.toArray();
    await registry.stop();
    assert.doesNotMatch(registry.output(), /rawPacket|"level":"error"/);
  });

  it('answers a request target that is no URL in the form of the spec', async () => {
    const registry = await serve(folder.path);
    const [host = '', port] = registry.address.split(':');
    const socket = connect(Number(port), host);
    socket.end('GET http://[::1/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const answer = (await socket.toArray()).join('');
    await registry.stop();
    assert.match(answer, /^HTTP\/1\.1 404 [^]*\{"errors":\[/);
    assert.doesNotMatch(registry.output(), /"level":"error"/);
  });

  it('logs no state of an upload', async () => {
    const registry = await serve(folder.path);
    const location = await new Client(`http://${registry.address}`).startUpload('logged/upload');
    await registry.stop();
    assert.match(registry.output(), /logged\/upload/);
    const state = new URL(location).searchParams.get('_state') ?? '';
    assert.ok(state.length > 40 && !registry.output().includes(state));
  });

  it('serve takes a blob of 2 GiB below 250 MB of memory', { timeout: 240_000 }, async () => {
    const { peak, registry } = await pushMuch(join(folder.path, 'large'), 2 * 1024 ** 3);
    await registry.stop();
    assert.ok(peak < 250e6, `it took ${Math.round(peak / 1e6)} MB`);
  });
});
