/** Attacks on HTTP/2, frame by frame. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { loadConfig } from '../../lib/config/config.ts';
import { usualLimits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { digestOf } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { peakMemory } from '../servers/memory.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { ask, open, openSession } from './http2-client.ts';
import {
  closeOf,
  dialHttp2,
  eachFrame,
  endHeaders,
  endStream,
  frame,
  framesOf,
  frameTypes,
  goawayCodes,
  headerBlock,
  requestHeaders,
} from './http2-frames.ts';

const refusedStream = 7;
const cancelled = 8;
const enhanceYourCalm = 11;
const cancel = Buffer.from([0, 0, 0, cancelled]);

describe('a server with HTTP/2', () => {
  let folder: Folder;
  let registry: Stowage;
  let url: string;

  before(async () => {
    folder = await temporaryFolder('floods');
    registry = await serve(folder.path, { REGISTRY_HTTP_H2C_ENABLED: 'true', REGISTRY_LOG_LEVEL: 'error' });
    url = `http://${registry.address}`;
  });

  after(async () => {
    // Uploads that stall take their time to end.
    await registry.kill();
    folder.remove();
  });

  const assertAnswers = async () => {
    const response = await fetch(`${url}/v2/`);
    assert.equal(response.status, 200);
    await response.body?.cancel();
  };

  const get = (path: string) => headerBlock(requestHeaders('GET', path));

  it('ends the connection of a client that opens and resets streams (rapid reset)', async () => {
    const socket = await dialHttp2(url);
    const frames = framesOf(socket);
    const block = get('/v2/_catalog');
    for (let i = 0; i < 5000 && socket.writable; i++) {
      const stream = 2 * i + 1;
      socket.write(frame('headers', stream, endHeaders | endStream, block));
      socket.write(frame('reset', stream, 0, cancel));
      if (i % 500 === 0) await new Promise(setImmediate);
    }
    assert.notDeepEqual(goawayCodes(await frames), []);
    await assertAnswers();
  });

  it('ends the connection of a client whose headers never end (CONTINUATION flood)', async () => {
    const socket = await dialHttp2(url);
    const frames = framesOf(socket);
    socket.write(frame('headers', 1, endStream, get('/v2/')));
    const more = headerBlock({ 'x-more': 'a'.repeat(100) });
    for (let i = 0; i < 10_000 && socket.writable; i++) {
      socket.write(frame('continuation', 1, 0, more));
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    assert.deepEqual(
      (await frames).filter(({ type }) => type === frameTypes.headers),
      [],
    );
    await assertAnswers();
  });

  it('ends the connection of a client that sends settings without reading', async () => {
    const socket = await dialHttp2(url);
    socket.pause();
    const closed = closeOf(socket);
    const settings = Buffer.concat(Array.from({ length: 1000 }, () => frame('settings', 0)));
    for (let i = 0; i < 2000 && socket.writable && !socket.destroyed; i++)
      if (!socket.write(settings))
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
    await closed;
    await assertAnswers();
  });

  it('refuses streams beyond the limit of a connection', async () => {
    const socket = await dialHttp2(url);
    const frames = framesOf(socket);
    const begin = headerBlock(requestHeaders('PUT', '/v2/many/app/manifests/v1'));
    for (let i = 0; i < 110; i++) socket.write(frame('headers', 2 * i + 1, endHeaders, begin));
    await delay(500);
    socket.destroy();
    const refused = (await frames).filter(
      ({ type, payload }) => type === frameTypes.reset && payload.readUInt32BE() === refusedStream,
    );
    assert.equal(refused.length, 10);
  });

  it('a stream of many headers is reset', async () => {
    const socket = await dialHttp2(url);
    const frames = framesOf(socket);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, '1']));
    socket.write(
      frame('headers', 1, endHeaders | endStream, Buffer.concat([get('/v2/'), headerBlock(many)])),
    );
    await delay(200);
    socket.destroy();
    const [reset] = (await frames).filter(({ type }) => type === frameTypes.reset);
    assert.equal(reset?.payload.readUInt32BE(), enhanceYourCalm);
  });

  describe('while bodies wait for their turn', () => {
    let busy: Stowage;
    let holder: ClientHttp2Stream;
    const sessions: ClientHttp2Session[] = [];
    const blob = Buffer.alloc(1024 ** 2 - 1);
    const path = `/v2/ahead/app/blobs/uploads/?digest=${digestOf(blob)}`;
    const connectTo = async () => {
      const session = await openSession(`http://${busy.address}`);
      sessions.push(session);
      return session;
    };

    before(async () => {
      const settings = {
        REGISTRY_HTTP_H2C_ENABLED: 'true',
        REGISTRY_HTTP_MAXUPLOADS: '1',
        REGISTRY_LOG_LEVEL: 'error',
      };
      busy = await serve(folder.path, settings);
      const session = await connectTo();
      const begun = await ask(session, 'POST', '/v2/ahead/app/blobs/uploads/');
      holder = open(session, 'PATCH', begun.headers.location ?? '');
      holder.write('begun');
      await delay(200);
    });

    after(async () => {
      for (const session of sessions) session.destroy();
      await busy.kill();
    });

    it('keeps its memory, and takes the bodies later', async () => {
      const before = await peakMemory(busy.pid);
      const [kept, ...others] = await Promise.all([connectTo(), connectTo(), connectTo(), connectTo()]);
      const send = (session: ClientHttp2Session) =>
        Array.from({ length: 80 }, async () => await ask(session, 'POST', path, blob));
      const answers = Promise.all(send(kept));
      for (const other of others) Promise.all(send(other)).catch(() => undefined);
      await delay(2000);
      // 320 MB were sent ahead.
      const grown = (await peakMemory(busy.pid)) - before;
      assert.ok(grown < 150e6, `${Math.round(grown / 1e6)} MB`);
      for (const other of others) other.destroy();
      holder.end();
      const statuses = new Set((await answers).map(({ status }) => status));
      assert.deepEqual(statuses, new Set([201]));
    });

    it('keeps its memory when bodies come in single bytes', async () => {
      holder = open(await connectTo(), 'PUT', path, { 'content-length': String(blob.length) });
      holder.write('begun');
      const before = await peakMemory(busy.pid);
      const sockets = await Promise.all(
        Array.from({ length: 4 }, async () => await dialHttp2(`http://${busy.address}`)),
      );
      const begin = headerBlock(requestHeaders('POST', path));
      const pieces = (stream: number) =>
        Buffer.concat(Array.from({ length: 5000 }, () => frame('data', stream, 0, Buffer.from('a'))));
      for (const socket of sockets) {
        for (let i = 0; i < 100; i++) socket.write(frame('headers', 2 * i + 1, endHeaders, begin));
        for (let i = 0; i < 100; i++) socket.write(pieces(2 * i + 1));
      }
      await delay(3000);
      const grown = (await peakMemory(busy.pid)) - before;
      for (const socket of sockets) socket.destroy();
      assert.ok(grown < 150e6, `${Math.round(grown / 1e6)} MB`);
    });
  });
});

/** A client that never reads: with no window, no body of a response can be sent. */
describe('the places for requests of HTTP/2 beyond the first of each connection', () => {
  // A hundred: the part of one of 20 workers.
  const settings = { REGISTRY_HTTP_H2C_ENABLED: 'true', REGISTRY_HTTP_WORKERS: '20' };
  // A quarter of that is 2 s.
  const limits = { ...usualLimits, responseRate: { ...usualLimits.responseRate, withinMs: 8_000 } };
  let folder: Folder;
  let registry: StreamingServer;

  before(async () => {
    folder = await temporaryFolder('places');
    const config = loadConfig('server', {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_LOG_LEVEL: 'error',
      ...settings,
    });
    registry = await startServer('server', config, limits);
  });

  after(async () => {
    await registry.stop();
    folder.remove();
  });

  const noWindow = frame('settings', 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));

  /** @returns codes with which streams are reset, as they come */
  const hold = async (streams: number, localAddress: string): Promise<[number[], Socket]> => {
    const socket = await dialHttp2(registry.url, localAddress);
    const codes: number[] = [];
    eachFrame(socket, ({ type, payload }) => {
      if (type === frameTypes.reset) codes.push(payload.readUInt32BE());
    });
    socket.write(noWindow);
    const block = headerBlock(requestHeaders('GET', '/v2/'));
    for (let i = 0; i < streams; i++)
      socket.write(frame('headers', 2 * i + 1, endHeaders | endStream, block));
    await delay(400);
    return [codes, socket];
  };
  const times = (codes: readonly number[], code: number) => codes.filter((one) => one === code).length;

  it('are shared by clients, and needed by no first request', async () => {
    const [codes, holder] = await hold(100, '127.0.0.1');
    assert.equal(times(codes, refusedStream), 49, 'half of the places are for others');
    const [ofSame, same] = await hold(2, '127.0.0.1');
    assert.equal(times(ofSame, refusedStream), 1);
    const [ofOther, other] = await hold(20, '127.0.0.2');
    assert.equal(times(ofOther, refusedStream), 0);
    for (const socket of [holder, same, other]) socket.destroy();
  });

  it('are taken from a client that reads none of its responses', async () => {
    await delay(100);
    const began = performance.now();
    const [codes, holder] = await hold(60, '127.0.0.1');
    assert.equal(times(codes, refusedStream), 9);
    while (times(codes, cancelled) < 51 && performance.now() - began < 7_000) await delay(50);
    assert.equal(times(codes, cancelled), 51, 'a quarter of the time for slow readers is over');
    const [again, socket] = await hold(40, '127.0.0.1');
    assert.equal(times(again, refusedStream), 0);
    for (const one of [holder, socket]) one.destroy();
  });
});
