import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { lendBuffer } from '../../lib/storage/free-buffer.ts';
import { MemoryBudget } from '../../lib/storage/memory-budget.ts';
import { minReadSize, ReadSize } from '../../lib/storage/read-ahead.ts';
import { ReconnectingBody } from '../../lib/storage/reconnecting-body.ts';
import { BucketClient } from '../../lib/storage/s3/client/client.ts';
import { S3Error } from '../../lib/storage/s3/client/errors.ts';

const MiB = 1024 ** 2;
const content = randomBytes(8 * MiB);

const xml = '<Error><Code>NoSuchKey</Code><Message>It is not there.</Message></Error>';
const chunkOf = (bytes: Buffer | string) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), Buffer.from(bytes), Buffer.from('\r\n')]);
const ok = `HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n`;

/** What the server sends for each key, one after the other; it closes the connection where that is said. */
const answers: Readonly<Record<string, { readonly parts: readonly (Buffer | string)[]; closes?: boolean }>> =
  {
    whole: { parts: [`${ok}\r\n`, content] },
    early: {
      parts: ['HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r', '\nHTT', `${ok.slice(3)}\r\n`, content],
    },
    together: { parts: [Buffer.concat([Buffer.from(`HTTP/1.1 100 Continue\r\n\r\n${ok}\r\n`), content])] },
    hinted: { parts: [`${ok}Keep-Alive: timeout=1\r\n\r\n`, content] },
    last: { parts: [`${ok}Connection: close\r\n\r\n`, content], closes: true },
    chunked: {
      parts: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunkOf(content), '0\r\n\r\n'],
    },
    endless: { parts: ['HTTP/1.1 200 OK\r\n\r\n', content], closes: true },
    missing: {
      parts: ['HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n', chunkOf(xml), '0\r\n\r\n'],
    },
    short: { parts: [`${ok}\r\n`, content.subarray(0, 3 * MiB)], closes: true },
    long: { parts: [`${ok}\r\n`, content, 'more'] },
    nonsense: { parts: ['SSH-2.0-OpenSSH_9.9\r\n\r\n'] },
    headers: { parts: ['HTTP/1.1 200 OK\r\n', Buffer.alloc(256 * 1024, 'a')] },
  };

describe('responses with large bodies from S3', () => {
  let connections = 0;
  let server: Server;
  let bucket: BucketClient;

  before(async () => {
    server = createServer((socket) => {
      connections += 1;
      socket.on('error', () => undefined);
      socket.on('data', (request) => {
        const key = /^GET \/images\/(\S+) /.exec(request.toString())?.[1] ?? '';
        void answer(socket, key);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const shared = new MemoryBudget(32 * MiB);
    bucket = new BucketClient({
      ...{ bucket: 'images', region: 'us-east-1', forcePathStyle: true },
      largeReads: { least: minReadSize, lend: lendBuffer, start: () => new ReadSize(shared) },
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
      clock: { offsetMs: 0, correct: () => false },
    });
  });

  after(async () => {
    bucket.close();
    await once(server.close(), 'close');
  });

  async function answer(socket: Socket, key: string): Promise<void> {
    const { parts = [], closes = false } = answers[key] ?? {};
    for (const part of parts) {
      await new Promise((resolve) => socket.write(part, resolve));
      await setImmediate();
    }
    if (closes) socket.end();
  }

  const open = async (key: string) =>
    (await bucket.open({ operation: 'GetObject', method: 'GET', key, length: content.length })).body;

  for (const key of ['whole', 'early', 'together', 'hinted', 'last', 'chunked', 'endless'])
    it(`all bytes of a response arrive: ${key}`, async () => {
      assert.ok((await buffer(await open(key))).equals(content));
    });

  for (const [key, isKept] of Object.entries({ whole: true, hinted: false, last: false, chunked: false }))
    it(`the connection is ${isKept ? 'used again' : 'closed'} after a response: ${key}`, async () => {
      for (const next of [key, 'whole']) await buffer(await open(next));
      const before = connections;
      await buffer(await open(key));
      await setImmediate();
      const between = connections;
      await buffer(await open('whole'));
      assert.deepEqual([between - before, connections - between], [0, isKept ? 0 : 1]);
    });

  it('an error is read, whatever its encoding', async () => {
    await assert.rejects(
      open('missing'),
      (error) => error instanceof S3Error && error.code === 'NoSuchKey' && error.status === 404,
    );
  });

  for (const [key, code] of Object.entries({ short: 'ECONNRESET', long: undefined }))
    it(`a body that is ${key === 'short' ? 'cut off fails' : 'too long spoils no other'}`, async () => {
      const body = buffer(await open(key));
      if (code === undefined) await body.catch(() => undefined);
      else await assert.rejects(body, (error) => error instanceof S3Error && error.code === code);
      assert.ok((await buffer(await open('whole'))).equals(content));
    });

  for (const key of ['nonsense', 'headers'])
    it(`a response that is not valid HTTP fails: ${key}`, async () => {
      await assert.rejects(open(key), S3Error);
    });

  it('a response to a client that is piped reads into the same memory, and not before a chunk is sent', async () => {
    const body = new ReconnectingBody(await open('whole'), {
      key: 'blob',
      length: content.length,
      reopen: async () => await Promise.reject(new Error('not needed')),
    });
    const memory: ArrayBufferLike[] = [];
    const sent: Buffer[] = [];
    const client = new Writable({
      highWaterMark: 16 * 1024,
      write(chunk: Buffer, _encoding, done) {
        memory.push(chunk.buffer);
        // As a kernel that takes it late: what was overwritten meanwhile would be sent.
        setTimeout(() => {
          sent.push(Buffer.from(chunk));
          done();
        });
      },
    });
    body.pipe(client);
    await once(client, 'finish');
    assert.ok(Buffer.concat(sent).equals(content));
    // One for each size of a read, and the bytes that came with the headers.
    assert.ok(memory.length > 30 && new Set(memory).size < 10, `${new Set(memory).size} of ${memory.length}`);
  });
});
