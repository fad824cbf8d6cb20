/** What holds for a connection of HTTP/1.1 holds for a stream of HTTP/2. Limits are shorter than usual. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants, createServer, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../lib/config/config.ts';
import { usualLimits, type Limits } from '../../lib/http/limits.ts';
import { StreamRequest } from '../../lib/server/http2/messages.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { Client, digestOf, imageType, withDigest } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { answerOf, ask, headersOf, open, openForCancel, openSession, type Answer } from './http2-client.ts';
import { closeOf, dialHttp2, endHeaders, frame, headerBlock, requestHeaders } from './http2-frames.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';

const MiB = 1024 ** 2;

describe('a server with HTTP/2', () => {
  let storage: TestStorage;
  const servers: StreamingServer[] = [];
  const sessions: ClientHttp2Session[] = [];

  before(async () => {
    storage = await folderStorage();
  });

  after(async () => {
    for (const session of sessions) session.destroy();
    for (const server of servers) await server.stop();
    storage.remove();
  });

  async function start(limits: Partial<Limits> = {}, settings: NodeJS.ProcessEnv = {}): Promise<Client> {
    const config = loadConfig('server', {
      ...storage.settings,
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_HTTP_H2C_ENABLED: 'true',
      REGISTRY_LOG_LEVEL: 'error',
      ...settings,
    });
    const server = await startServer('server', config, { ...usualLimits, lingerMs: 100, ...limits });
    servers.push(server);
    return new Client(server.url);
  }

  async function connectTo({ base }: Client): Promise<ClientHttp2Session> {
    const session = await openSession(base);
    sessions.push(session);
    return session;
  }

  const assertError = ({ status, headers, body }: Answer, expected: number, code: string) => {
    assert.equal(status, expected);
    assert.equal(headers['content-type'], 'application/json');
    assert.match(body, new RegExp(`^\\{"errors":\\[\\{"code":"${code}"`));
  };

  async function trickle(stream: ClientHttp2Stream): Promise<void> {
    while (!stream.closed && stream.writable) {
      stream.write('a');
      await delay(20);
    }
  }

  it('takes a blob without length, and sends it back', async () => {
    const session = await connectTo(await start());
    const bytes = randomBytes(20 * MiB);
    const begun = await ask(session, 'POST', '/v2/two/app/blobs/uploads/');
    assert.equal(begun.status, 202);
    const patched = await ask(session, 'PATCH', begun.headers.location ?? '', bytes);
    assert.equal(patched.status, 202);
    assert.equal(patched.headers.range, `0-${bytes.length - 1}`);
    const digest = digestOf(bytes);
    const put = await ask(session, 'PUT', withDigest(patched.headers.location ?? '', digest));
    assert.equal(put.status, 201);
    const stream = open(session, 'GET', `/v2/two/app/blobs/${digest}`);
    const pieces = await stream.toArray();
    assert.ok(Buffer.concat(pieces as Buffer[]).equals(bytes));
    const { status, headers } = await ask(session, 'HEAD', `/v2/two/app/blobs/${digest}`);
    assert.deepEqual([status, headers['content-length']], [200, String(bytes.length)]);
  });

  it('takes an empty body without length, and one whose end comes later', async () => {
    const session = await connectTo(await start());
    const digest = digestOf(Buffer.alloc(0));
    const path = `/v2/two/app/blobs/uploads/?digest=${digest}`;
    assert.equal((await ask(session, 'POST', path)).status, 201);
    const stream = open(session, 'POST', path);
    const answer = answerOf(stream);
    await delay(50);
    stream.end();
    assert.equal((await answer).status, 201);
  });

  it('speaks HTTP/1.1 and HTTP/2 on one port, also when the first bytes come one by one', async () => {
    const client = await start({ headersTimeoutMs: 300 });
    await client.must(200, { method: 'GET', path: '/v2/' });
    const socket = await dial(client.base);
    const answer = rest(socket.setNoDelay());
    for (const byte of head('PUT', '/v2/a/manifests/.b', 'Content-Length: 0', 'Connection: close')) {
      socket.write(byte);
      await new Promise(setImmediate);
    }
    assert.match(await answer, /^HTTP\/1\.1 400 /);
    const late = await dial(client.base);
    const timedOut = rest(late);
    late.write('PR');
    assert.match(await timedOut, /^HTTP\/1\.1 408 /);
  });

  it('requests of HTTP/1.1 that come at once are answered in order beside HTTP/2', async () => {
    const socket = await dial((await start()).base);
    const answers = rest(socket);
    socket.write(head('GET', '/v2/').repeat(50) + 'GARBAGE\r\n\r\n');
    const statuses = [...(await answers).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status);
    assert.deepEqual(statuses, [...Array.from({ length: 50 }, () => '200'), '400']);
  });

  it('has windows of MiB, and a limit of requests on a connection', async () => {
    const session = await connectTo(await start());
    const { initialWindowSize, maxConcurrentStreams } = session.remoteSettings;
    assert.deepEqual([initialWindowSize, maxConcurrentStreams], [MiB, 100]);
    await ask(session, 'GET', '/v2/');
    assert.ok((session.state.remoteWindowSize ?? 0) >= 4 * MiB);
  });

  describe('when a client breaks off', () => {
    let client: Client;
    let location: string;

    before(async () => {
      client = await start();
      location = await client.sendChunk(await client.startUpload('broken/app'), 0, randomBytes(100));
    });

    const assertUnchanged = async () => {
      await delay(200);
      const status = await client.must(204, { method: 'GET', path: location });
      assert.equal(status.headers.range, '0-99');
    };

    for (const [what, breakOff] of Object.entries({
      'by a reset of the stream': (socket: Socket) => {
        socket.write(frame('reset', 1, 0, Buffer.from([0, 0, 0, 8])));
      },
      'by a reset without an error': (socket: Socket) => {
        socket.write(frame('reset', 1, 0, Buffer.from([0, 0, 0, 0])));
      },
      'by the end of the connection': async (socket: Socket) => {
        socket.resume().end();
        // At once, and not when the body is late.
        await closeOf(socket);
      },
      'by a reset of the connection': (socket: Socket) => {
        socket.resetAndDestroy();
      },
    }))
      it(`a body without length that is broken off ${what} changes nothing`, async () => {
        const socket = await dialHttp2(client.base);
        socket.write(frame('headers', 1, endHeaders, headerBlock(requestHeaders('PATCH', pathOf(location)))));
        // As much as fits into the window before the server's settings.
        for (let i = 0; i < 3; i++) socket.write(frame('data', 1, 0, randomBytes(16_384)));
        await delay(300);
        await breakOff(socket);
        await assertUnchanged();
        socket.destroy();
      });

    it('a body that was broken off before it is read does not look complete', async () => {
      const server = createServer({ Http2ServerRequest: StreamRequest }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const requested = once(server, 'request');
      const { port } = server.address() as AddressInfo;
      const other = await openSession(`http://127.0.0.1:${port}`);
      const stream = openForCancel(other, 'PUT', '/');
      stream.write('begun');
      const [request] = (await requested) as [StreamRequest];
      const aborted = once(request, 'close');
      stream.close(constants.NGHTTP2_CANCEL);
      await aborted;
      await assert.rejects(request.toArray(), { code: 'ECONNRESET' });
      other.destroy();
      server.close();
    });

    it('a body that is shorter than its length changes nothing', async () => {
      const stream = open(await connectTo(client), 'PATCH', pathOf(location), { 'content-length': '200' });
      const closed = new Promise((resolve) => stream.once('close', resolve));
      stream.end(randomBytes(150));
      await closed;
      assert.notEqual(stream.rstCode, constants.NGHTTP2_NO_ERROR);
      await assertUnchanged();
    });
  });

  describe('with a client that is slow', () => {
    it('answers 408 to a body that comes byte by byte', async () => {
      const client = await start({ bodyRate: { bytes: 1000, withinMs: 300 } });
      const session = await connectTo(client);
      const location = pathOf(await client.startUpload('slow/app'));
      for (const [method, path] of [
        ['PATCH', location],
        ['PUT', withDigest(location, digestOf(Buffer.alloc(9)))],
        ['PUT', '/v2/slow/app/manifests/v1'],
      ] as const) {
        const stream = open(session, method, path);
        const answer = answerOf(stream);
        void trickle(stream);
        assertError(await answer, 408, 'UNAVAILABLE');
      }
      const silent = open(session, 'PUT', withDigest(location, digestOf(Buffer.alloc(9))));
      assertError(await answerOf(silent), 408, 'UNAVAILABLE');
    });

    it('resets a stream that is read too slowly, and no other', async () => {
      const client = await start({ responseRate: { bytes: 1_000_000, withinMs: 600 } });
      const digest = await client.pushBlob('slow/app', randomBytes(24 * MiB));
      const session = await connectTo(client);
      const slow = open(session, 'GET', `/v2/slow/app/blobs/${digest}`);
      await headersOf(slow);
      const reset = new Promise((resolve) => slow.once('close', resolve));
      // No window is given back while nothing is read.
      const other = await ask(session, 'GET', '/v2/');
      assert.equal(other.status, 200);
      await delay(2000);
      slow.resume();
      await reset;
      assert.equal(slow.rstCode, constants.NGHTTP2_CANCEL);
      assert.equal((await ask(session, 'GET', '/v2/')).status, 200);
    });

    it('closes an idle connection, and one without a first request', async () => {
      const session = await connectTo(await start({ idleTimeoutMs: 300 }));
      const goaway = once(session, 'goaway');
      await ask(session, 'GET', '/v2/');
      await goaway;
      if (!session.closed) await once(session, 'close');
      const silent = await dial((await start({ headersTimeoutMs: 300 })).base);
      silent.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      await rest(silent);
    });
  });

  describe('answers in the form of the spec', () => {
    let session: ClientHttp2Session;

    before(async () => {
      session = await connectTo(await start());
    });

    it('413 to an endless manifest, and ends it', async () => {
      const stream = open(session, 'PUT', '/v2/endless/app/manifests/v1', { 'content-type': imageType });
      const answer = answerOf(stream);
      const send = () => {
        while (stream.writable && stream.write(Buffer.alloc(65536, ' ')));
      };
      stream.on('drain', send);
      send();
      assertError(await answer, 413, 'SIZE_INVALID');
      if (!stream.closed) await once(stream, 'close');
      assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
    });

    for (const [what, headers, status] of [
      ['headers of 20 KB', { accept: 'a'.repeat(20_000) }, 431],
      ['an authority with a port that is none', { ':authority': 'registry:http' }, 400],
      ['an authority and another host', { ':authority': 'registry', host: 'other' }, 400],
      ['a fragment', { ':path': '/v2/#a' }, 400],
      [
        'a URL with a password for a path',
        { ':scheme': 'ftp', ':path': 'http://user:password@host/v2/' },
        400,
      ],
      ['an expectation', { expect: '200-ok' }, 417],
    ] as const)
      it(`${status} to ${what}`, async () => {
        const stream = session.request({ ':path': '/v2/', ...headers });
        assertError(await answerOf(stream.on('error', () => undefined)), status, 'UNSUPPORTED');
      });

    it('400 to CONNECT', async () => {
      const stream = session.request({ ':method': 'CONNECT', ':authority': 'registry:1' });
      assertError(await answerOf(stream.on('error', () => undefined)), 400, 'UNSUPPORTED');
    });
  });

  it('finishes requests in progress when it stops, takes no others, and says so', async () => {
    const client = await start();
    const server = servers.pop() ?? assert.fail();
    const session = await connectTo(client);
    const begun = await ask(session, 'POST', '/v2/stop/app/blobs/uploads/');
    const upload = open(session, 'PATCH', begun.headers.location ?? '');
    upload.write('first');
    await delay(100);
    const goaway = once(session, 'goaway');
    const stopped = server.stop();
    await goaway;
    await assert.rejects(openSession(client.base).then(async (late) => await ask(late, 'GET', '/v2/')));
    const answer = answerOf(upload);
    upload.end('second');
    assert.equal((await answer).status, 202);
    await stopped;
  });
});
