import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Writable, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, it } from 'node:test';
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { BucketClient } from '../../lib/storage/s3/client/client.ts';
import { lendBuffer } from '../../lib/storage/free-buffer.ts';
import { MemoryBudget } from '../../lib/storage/memory-budget.ts';
import { minReadSize, ReadSize } from '../../lib/storage/read-ahead.ts';
import { ReconnectingBody } from '../../lib/storage/reconnecting-body.ts';

const MiB = 1024 ** 2;

/** Bytes of the largest read. */
const most = 512 * 1024;

describe('large reads of bodies from S3', () => {
  const objects = Array.from({ length: 4 }, () => randomBytes(8 * MiB));
  let connections = 0;
  let server: Server;

  before(async () => {
    server = createServer((request, response) => {
      const bytes = objects[Number(request.url?.slice('/images/'.length))] ?? Buffer.alloc(0);
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    });
    server.on('connection', (socket: Socket) => {
      connections += 1;
      socket.on('error', () => undefined);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });

  after(async () => {
    server.closeAllConnections();
    await once(server.close(), 'close');
  });

  /** A client, and how to open one of the objects. */
  function client(shared: MemoryBudget) {
    const largeReads = { least: minReadSize, lend: lendBuffer, start: () => new ReadSize(shared) };
    const bucket = new BucketClient({
      ...{ bucket: 'images', region: 'us-east-1', forcePathStyle: true, largeReads },
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
      clock: { offsetMs: 0, correct: () => false },
    });
    const open = async (object: number) => {
      const request = { operation: 'GetObject', method: 'GET', key: String(object) } as const;
      return (await bucket.open({ ...request, length: objects[object]?.length })).body;
    };
    return { bucket, open };
  }

  /** Reads to the end. @returns the sizes of the chunks */
  async function sizesOf(body: Readable): Promise<number[]> {
    const sizes: number[] = [];
    body.on('data', (chunk: Buffer) => sizes.push(chunk.byteLength));
    await once(body, 'end');
    return sizes;
  }

  it('bytes of several connections, which share a buffer, are not mixed up', async () => {
    const { bucket, open } = client(new MemoryBudget(32 * MiB));
    const received = await Promise.all(
      objects.map(async (_, i) => {
        const chunks: Buffer[] = [];
        // Each stops reading now and then, and keeps what it has got.
        const slow = new Writable({
          highWaterMark: 1,
          write(chunk: Buffer, _encoding, done) {
            chunks.push(chunk);
            setTimeout(done, chunks.length % (i + 2) === 0 ? 1 : 0);
          },
        });
        await pipeline(await open(i), slow);
        return Buffer.concat(chunks);
      }),
    );
    for (const [i, bytes] of received.entries()) assert.ok(bytes.equals(objects[i] ?? bytes.subarray(1)));
    bucket.close();
  });

  it('reads grow for a fast reader, and its memory is there for others afterwards', async () => {
    const shared = new MemoryBudget(4 * MiB);
    const { bucket, open } = client(shared);
    const largest = Math.max(...(await sizesOf(await open(0))));
    assert.ok(largest > 64 * 1024 && largest <= most, String(largest));
    const aborted = await open(1);
    await once(aborted, 'data');
    aborted.destroy();
    // Once it is closed, which this waits for.
    while (!shared.take(4 * MiB)) await delay(10);
    bucket.close();
  });

  it('reads stay small without memory', async () => {
    const { bucket, open } = client(new MemoryBudget(0));
    assert.equal(Math.max(...(await sizesOf(await open(0)))), minReadSize);
    bucket.close();
  });

  it('a response that is not read holds one chunk, and its connection serves others after its end', async () => {
    const { bucket, open } = client(new MemoryBudget(32 * MiB));
    const before = connections;
    for (let i = 0; i < 3; i++) {
      const body = await open(i);
      await delay(50);
      assert.ok(body.readableLength <= minReadSize);
      const bytes = await buffer(body);
      assert.ok(bytes.equals(objects[i] ?? bytes.subarray(1)));
      await setImmediate();
    }
    assert.equal(connections, before + 1);
    bucket.close();
  });

  it('a response that a client stops reading has one large chunk of the body in memory', async () => {
    const { bucket, open } = client(new MemoryBudget(32 * MiB));
    const source = await open(0);
    const { length = 0 } = objects[0] ?? {};
    const reopen = async () => await Promise.reject(new Error('not needed'));
    const body = new ReconnectingBody(source, { key: 'blob', length, reopen });
    const taken: Buffer[] = [];
    let isStopped = false;
    let resume: (() => void) | undefined;
    const stopped = new Promise<void>((resolve) => {
      const response = new Writable({
        highWaterMark: 16 * 1024,
        write(chunk: Buffer, _encoding, done) {
          taken.push(Buffer.from(chunk));
          isStopped ||= chunk.byteLength >= 64 * 1024;
          if (!isStopped || resume !== undefined) {
            setTimeout(done);
            return;
          }
          resume = done;
          resolve();
        },
      });
      body.pipe(response);
    });
    await stopped;
    await delay(50);
    assert.deepEqual([body.readableLength, source.readableLength], [0, 0]);
    resume?.();
    await once(body, 'end');
    assert.ok(Buffer.concat(taken).equals(objects[0] ?? Buffer.alloc(0)));
    bucket.close();
  });
});
