/** Clients that are slow, silent or endless, with limits that are shorter than usual. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { queryObjects } from 'node:v8';
import { usualLimits, type Limits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import {
  Client,
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  someName,
  withDigest,
} from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';

describe('the streaming server', () => {
  let storage: TestStorage;
  const servers: StreamingServer[] = [];

  before(async () => {
    storage = await folderStorage();
  });

  after(async () => {
    for (const server of servers) await server.stop();
    storage.remove();
  });

  async function start(limits: Partial<Limits>, settings: NodeJS.ProcessEnv = {}): Promise<Client> {
    const config = loadConfig('server', {
      ...storage.settings,
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_LOG_LEVEL: 'error',
      ...settings,
    });
    const server = await startServer('server', config, { ...usualLimits, lingerMs: 100, ...limits });
    servers.push(server);
    return new Client(server.url);
  }

  /** Sends a byte now and then, until the connection ends. */
  async function trickle(socket: Socket, bytes: string): Promise<void> {
    while (!socket.closed && socket.writable) {
      socket.write(bytes);
      await delay(20);
    }
  }

  const assertAnswer = (answer: string, status: number, code: string) => {
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(answer, /\r\ncontent-type: application\/json\r\n/i);
    assert.match(answer, new RegExp(`\\{"errors":\\[\\{"code":"${code}"`));
  };

  describe('answers 408 to a body that comes byte by byte', () => {
    let client: Client;
    let location: string;

    before(async () => {
      client = await start({ bodyRate: { bytes: 1000, withinMs: 300 } });
      location = await client.startUpload('slow/app');
    });

    for (const [what, request] of Object.entries({
      'of a PATCH': () => head('PATCH', pathOf(location), 'Content-Length: 100000'),
      'of a PATCH without length': () => head('PATCH', pathOf(location), 'Transfer-Encoding: chunked'),
      'of a PUT': () =>
        head('PUT', pathOf(withDigest(location, digestOf(Buffer.alloc(9)))), 'Content-Length: 100000'),
      'of a POST': () =>
        head(
          'POST',
          `/v2/slow/app/blobs/uploads/?digest=${digestOf(Buffer.alloc(9))}`,
          'Content-Length: 100000',
        ),
      'of a manifest': () => head('PUT', '/v2/slow/app/manifests/v1', 'Content-Length: 100000'),
    }))
      it(what, async () => {
        const socket = await dial(client.base);
        const answer = rest(socket);
        socket.write(request());
        const chunked = request().includes('chunked');
        await trickle(socket, chunked ? '1\r\na\r\n' : 'a');
        assertAnswer(await answer, 408, 'UNAVAILABLE');
      });

    it('answers 408 to a PUT without length whose body never begins', async () => {
      const socket = await dial(client.base);
      socket.write(
        head('PUT', pathOf(withDigest(location, digestOf(Buffer.alloc(9)))), 'Transfer-Encoding: chunked'),
      );
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      assertAnswer(answer.toString(), 408, 'UNAVAILABLE');
    });

    it('a body that times out leaves the upload unchanged', async () => {
      const status = await client.must(204, { method: 'GET', path: location });
      assert.equal(status.headers.range, '0-0');
      const bytes = randomBytes(100);
      await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)), body: bytes });
    });
  });

  it('accepts a slow body that keeps the minimum rate', async () => {
    const client = await start({ bodyRate: { bytes: 10, withinMs: 1000 } });
    const location = await client.startUpload('slow/app');
    const socket = await dial(client.base);
    socket.write(head('PATCH', pathOf(location), 'Content-Length: 300'));
    for (let i = 0; i < 30; i++) {
      socket.write('0123456789');
      await delay(50);
    }
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    assert.match(answer.toString(), /^HTTP\/1.1 202 /);
  });

  it('answers 408 to headers that never end', async () => {
    const client = await start({ headersTimeoutMs: 300 });
    const socket = await dial(client.base);
    const answer = rest(socket);
    socket.write('GET /v2/ HTTP/1.1\r\nHost: registry\r\nX-Slow: ');
    await trickle(socket, 'a');
    assertAnswer(await answer, 408, 'UNAVAILABLE');
  });

  it('frees the downloads of clients that have disconnected', async () => {
    const client = await start({});
    const digest = await client.pushBlob('slow/app', randomBytes(16 * 1024 * 1024));
    const responses = () => queryObjects(ServerResponse, { format: 'count' });
    const before = responses();
    for (let i = 0; i < 20; i++) {
      const socket = await dial(client.base);
      socket.write(head('GET', `/v2/slow/app/blobs/${digest}`));
      await once(socket, 'data');
      socket.destroy();
    }
    for (let i = 0; i < 100 && responses() > before + 5; i++) await delay(20);
    assert.ok(responses() <= before + 5);
  });

  it('closes an idle connection', async () => {
    const client = await start({ idleTimeoutMs: 200, headersTimeoutMs: 60_000 });
    assert.equal(await rest(await dial(client.base)), '');
  });

  it('answers 413 to an endless manifest and stops reading', async () => {
    const client = await start({});
    for (const [how, piece] of [
      ['Transfer-Encoding: chunked', `10000\r\n${' '.repeat(0x10000)}\r\n`],
      ['Content-Length: 99999999999', ' '.repeat(0x10000)],
    ] as const) {
      const socket = await dial(client.base);
      const answer = rest(socket);
      socket.write(head('PUT', '/v2/endless/app/manifests/v1', how, `Content-Type: ${imageType}`));
      const send = () => {
        while (socket.writable && socket.write(piece));
      };
      socket.on('drain', send);
      send();
      assertAnswer(await answer, 413, 'SIZE_INVALID');
    }
  });

  it('answers 400 to a chunk without length that exceeds its range', async () => {
    const client = await start({});
    const socket = await dial(client.base);
    const answer = rest(socket);
    const location = await client.startUpload('endless/app');
    socket.write(head('PATCH', pathOf(location), 'Transfer-Encoding: chunked', 'Content-Range: 0-9'));
    await trickle(socket, 'b\r\n0123456789a\r\n');
    assertAnswer(await answer, 400, 'SIZE_INVALID');
    const status = await client.must(204, { method: 'GET', path: location });
    assert.equal(status.headers.range, '0-0');
  });

  it('queues an upload, answers 503 when it times out in the queue, and accepts the next', async () => {
    const client = await start({ queueTimeoutMs: 3000 }, { REGISTRY_HTTP_MAXUPLOADS: '2' });
    const bytes = randomBytes(1000);
    const begin = async () => {
      const location = await client.startUpload(someName());
      const socket = await dial(client.base);
      socket.write(head('PUT', pathOf(withDigest(location, digestOf(bytes))), 'Content-Length: 1000'));
      socket.write(bytes.subarray(0, 500));
      return socket;
    };
    const end = async (socket: Socket) => {
      socket.write(bytes.subarray(500));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return answer.toString();
    };
    const [one, two] = [await begin(), await begin()];
    await delay(500);
    const tooLate = await begin();
    const [busy] = (await once(tooLate, 'data')) as [Buffer];
    tooLate.destroy();
    assertAnswer(busy.toString(), 503, 'UNAVAILABLE');
    assert.match(busy.toString(), /\r\nretry-after: 5\r\n/i);
    // What has no body is not kept waiting, unless it reads one that was kept: a session has the bytes of a part.
    await client.must(200, { method: 'GET', path: '/v2/' });
    await Promise.all(
      ['GET', 'DELETE'].map(async (method) => {
        await client.must(503, { method, path: await client.startUpload(someName()) });
      }),
    );
    const inTime = await begin();
    await delay(500);
    assert.match(await end(one), /^HTTP\/1.1 201 /);
    assert.match(await end(inTime), /^HTTP\/1.1 201 /);
    // One that hangs up leaves its place to others.
    two.destroy();
    for (let i = 0; i < 4; i++) assert.match(await end(await begin()), /^HTTP\/1.1 201 /);
  });

  it('ends a slow upload while others are queued, and accepts theirs', async () => {
    const client = await start(
      { contendedBodyRate: { bytes: 1_000_000, withinMs: 300 } },
      { REGISTRY_HTTP_MAXUPLOADS: '2' },
    );
    const slow = await Promise.all(
      [1, 2].map(async () => {
        const location = await client.startUpload(someName());
        const socket = await dial(client.base);
        socket.write(head('PATCH', pathOf(location), 'Content-Length: 1000000'));
        return { socket, answer: rest(socket), trickles: trickle(socket, 'a'.repeat(100)) };
      }),
    );
    // Alone they may be slow.
    await delay(1000);
    assert.deepEqual(
      slow.map(({ socket }) => socket.closed),
      [false, false],
    );
    await client.pushBlob(someName(), randomBytes(1000));
    const first = await Promise.race(slow.map(async ({ answer }) => await answer));
    assertAnswer(first, 408, 'UNAVAILABLE');
    for (const { socket } of slow) socket.destroy();
  });

  describe('with a client that reads responses slowly', () => {
    let client: Client;
    let path: string;
    const blob = randomBytes(24 * 1024 * 1024);

    before(async () => {
      client = await start({ responseRate: { bytes: 1_000_000, withinMs: 800 } });
      path = `/v2/slow/reader/blobs/${await client.pushBlob('slow/reader', blob)}`;
    });

    it('closes the connection of a client that reads too slowly', async () => {
      const socket = await dial(client.base);
      socket.write(head('GET', path));
      await once(socket, 'readable');
      // A little now and then does not count.
      for (let i = 0; i < 30; i++) {
        socket.read(1);
        await delay(100);
      }
      let taken = 0;
      for await (const piece of socket as AsyncIterable<Buffer>) taken += piece.byteLength;
      assert.ok(taken < blob.length, 'the whole answer came');
    });

    it('sends the whole response to a client that keeps the minimum rate', async () => {
      const socket = await dial(client.base);
      socket.write(head('GET', path, 'Connection: close'));
      let taken = 0;
      for await (const piece of socket as AsyncIterable<Buffer>) {
        taken += piece.byteLength;
        await delay(2);
      }
      assert.ok(taken > blob.length);
    });
  });

  it('frees the memory of large responses whose clients disconnected before they were ready', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => void warnings.push(warning);
    process.on('warning', warned);
    const client = await start({});
    const config = randomBytes(10);
    await client.pushBlob('hung/up', config);
    const body = manifest({ config: descriptor(config), annotations: { text: 'a'.repeat(3_900_000) } });
    const path = '/v2/hung/up/manifests/v1';
    await client.must(201, { method: 'PUT', path, headers: { 'content-type': imageType }, body });
    for (let i = 0; i < 40; i++) {
      const socket = await dial(client.base);
      socket.write(head('GET', path));
      await delay(i % 6);
      socket.resetAndDestroy();
    }
    await delay(200);
    const answers = await Promise.all(
      [1, 2, 3].map(async () => await client.must(200, { method: 'GET', path })),
    );
    for (const answer of answers) assert.ok(answer.body.equals(body));
    process.off('warning', warned);
    assert.deepEqual(warnings, []);
  });

  it('ends slow uploads of large manifests while others wait for memory', async () => {
    const client = await start({
      contendedBodyRate: { bytes: 1_000_000, withinMs: 300 },
      queueTimeoutMs: 5000,
    });
    const config = randomBytes(10);
    await client.pushBlob('slow/pushes', config);
    const slow = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const socket = await dial(client.base);
        socket.write(head('PUT', `/v2/slow/pushes/manifests/v${i}`, 'Transfer-Encoding: chunked'));
        socket.write(`13880\r\n${' '.repeat(80_000)}\r\n`);
        return { socket, ends: trickle(socket, '1\r\n \r\n') };
      }),
    );
    await delay(300);
    const body = manifest({ config: descriptor(config), annotations: { text: 'a'.repeat(100_000) } });
    const path = '/v2/slow/pushes/manifests/fast';
    await client.must(201, { method: 'PUT', path, headers: { 'content-type': imageType }, body });
    for (const { socket } of slow) socket.destroy();
    for (const { ends } of slow) await ends;
  });

  it('disconnects slow readers of large responses while others wait for memory', async () => {
    const client = await start({ contendedBodyRate: { bytes: 1_000_000, withinMs: 300 } });
    const config = randomBytes(10);
    await client.pushBlob('slow/pulls', config);
    const body = manifest({ config: descriptor(config), annotations: { text: 'a'.repeat(3_900_000) } });
    const path = '/v2/slow/pulls/manifests/v1';
    await client.must(201, { method: 'PUT', path, headers: { 'content-type': imageType }, body });
    const slow = await Promise.all(Array.from({ length: 16 }, async () => await dial(client.base)));
    const answers = async () => (await client.send({ method: 'GET', path })).status;
    // More than what the system keeps of answers.
    for (let i = 0; i < 50 && (await answers()) === 200; i++) {
      for (const socket of slow) socket.pause().write(head('GET', path));
      await delay(50);
    }
    let status = await answers();
    for (let i = 0; i < 30 && status !== 200; i++) {
      await delay(100);
      status = await answers();
    }
    for (const socket of slow) socket.destroy();
    assert.equal(status, 200);
  });

  for (const [what, request, status, code] of [
    ['headers of 20 KB', head('GET', '/v2/', `Accept: ${'a'.repeat(20_000)}`), 431, 'UNSUPPORTED'],
    ['a line of 20 KB', head('GET', `/v2/${'a'.repeat(20_000)}/tags/list`), 431, 'UNSUPPORTED'],
    ['what is no HTTP', 'EHLO registry\r\n\r\n', 400, 'UNSUPPORTED'],
    ['NUL in a path', head('GET', '/v2/a\0/tags/list'), 400, 'UNSUPPORTED'],
    ['a header without a colon', head('GET', '/v2/', 'Nonsense'), 400, 'UNSUPPORTED'],
    ['no host', 'GET /v2/ HTTP/1.1\r\n\r\n', 400, 'UNSUPPORTED'],
    ['two hosts', head('GET', '/v2/', 'Host: other'), 400, 'UNSUPPORTED'],
    ['a version that is none', 'GET /v2/ HTTP/2.0\r\nConnection: close\r\n\r\n', 400, 'UNSUPPORTED'],
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n', 400, 'UNSUPPORTED'],
    ['an expectation', head('PATCH', '/v2/', 'Expect: 200-ok', 'Content-Length: 1'), 417, 'UNSUPPORTED'],
    [
      'two lengths',
      head('PUT', '/v2/a/manifests/b', 'Content-Length: 1', 'Content-Length: 2'),
      400,
      'UNSUPPORTED',
    ],
    [
      'a length and chunks, which two servers in a row may read in two ways',
      head('PUT', '/v2/a/manifests/b', 'Content-Length: 4', 'Transfer-Encoding: chunked'),
      400,
      'UNSUPPORTED',
    ],
    ['a negative length', head('PUT', '/v2/a/manifests/b', 'Content-Length: -1'), 400, 'UNSUPPORTED'],
    [
      'a length that is no number',
      head('PUT', '/v2/a/manifests/b', 'Content-Length: 1e3'),
      400,
      'UNSUPPORTED',
    ],
    [
      'a length that no number holds',
      head('PUT', '/v2/a/manifests/b', `Content-Length: ${'9'.repeat(30)}`),
      400,
      'UNSUPPORTED',
    ],
  ] as const)
    it(`answers ${status} to ${what}`, async () => {
      const client = await start({});
      const socket = await dial(client.base);
      const answer = rest(socket);
      socket.write(request);
      assertAnswer(await answer, status, code);
    });

  it('answers earlier requests before it answers invalid HTTP', async () => {
    const client = await start({});
    const socket = await dial(client.base);
    const answer = rest(socket);
    const bytes = manifest({ manifests: [] }, indexType);
    socket.write(
      head(
        'PUT',
        '/v2/first/app/manifests/v1',
        `Content-Type: ${indexType}`,
        `Content-Length: ${bytes.length}`,
      ),
    );
    socket.write(bytes);
    socket.write('GARBAGE\r\n\r\n');
    assert.match(await answer, /^HTTP\/1.1 201 [^]*\r\nHTTP\/1.1 400 /);
  });

  it('closes the connection when a client asks for it, also after an error', async () => {
    const client = await start({});
    for (const pieces of [
      [head('PUT', '/v2/a/manifests/.bad', 'Content-Length: 2', 'Connection: close') + '{}'],
      [head('PUT', '/v2/a/manifests/.bad', 'Content-Length: 2', 'Connection: close'), '{}'],
    ]) {
      const socket = await dial(client.base);
      const answer = rest(socket);
      for (const piece of pieces) {
        socket.write(piece);
        await delay(50);
      }
      assertAnswer(await answer, 400, 'TAG_INVALID');
    }
  });

  it('answers a request that names the whole URL, as to a proxy', async () => {
    const client = await start({});
    const socket = await dial(client.base);
    const answer = rest(socket);
    socket.write(head('GET', 'http://x/v2/', 'Connection: close'));
    assert.match(await answer, /^HTTP\/1.1 200 /);
  });

  it('answers 400 to a body that is longer than its chunks say', async () => {
    const client = await start({});
    const location = await client.startUpload('lying/app');
    const socket = await dial(client.base);
    const answer = rest(socket);
    socket.write(head('PATCH', pathOf(location), 'Transfer-Encoding: chunked'));
    socket.write('5\r\nhello world\r\n0\r\n\r\n');
    assertAnswer(await answer, 400, 'UNSUPPORTED');
    const status = await client.must(204, { method: 'GET', path: location });
    assert.equal(status.headers.range, '0-0');
  });

  it('reads bytes after a body as the next request', async () => {
    const client = await start({});
    const location = await client.startUpload('lying/app');
    const socket = await dial(client.base);
    const answer = rest(socket);
    socket.write(head('PATCH', pathOf(location), 'Content-Length: 5'));
    socket.write(`hello${head('GET', '/v2/', 'Connection: close')}`);
    assert.match(await answer, /^HTTP\/1.1 202 [^]*\r\nHTTP\/1.1 200 /);
    const status = await client.must(204, { method: 'GET', path: location });
    assert.equal(status.headers.range, '0-4');
  });
});
