import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { Client, withDigest } from '../functions/client.ts';
import { peakMemory } from '../servers/memory.ts';
import { serve, type Place, type Stowage } from '../servers/stowage.ts';

export interface LargePush {
  /** The most bytes of memory that the registry had resident. */
  readonly peak: number;
  readonly digest: string;
  /** Reads a body to its end. Fails when it is not the blob. */
  readonly assertSame: (body: AsyncIterable<Buffer>) => Promise<void>;
  readonly client: Client;
  readonly registry: Stowage;
}

const MiB = 1024 ** 2;

/** Bytes that differ from one MiB to the next, and are not kept. */
class Pieces {
  readonly #piece = randomBytes(MiB);

  at(index: number): Buffer {
    this.#piece.writeUInt32LE(index);
    return Buffer.from(this.#piece);
  }
}

/**
 * Starts `npm run serve` and pushes a blob to `large/blob` as docker does: a stream whose length is not announced, and a
 * PUT with its digest.
 * @param size bytes, a multiple of a MiB
 */
export async function pushMuch(place: Place, size: number, env: NodeJS.ProcessEnv = {}): Promise<LargePush> {
  const registry = await serve(place, env);
  const client = new Client(`http://${registry.address}`);
  const patch = request(await client.startUpload('large/blob'), { method: 'PATCH', agent: false });
  const answered = once(patch, 'response') as Promise<[IncomingMessage]>;
  const pieces = new Pieces();
  const digest = await sendMuch(patch, pieces, size);
  const [answer] = await answered;
  answer.resume();
  assert.equal(answer.headers.range, `0-${size - 1}`);
  await client.must(201, { method: 'PUT', path: withDigest(answer.headers.location ?? '', digest) });
  const peak = await peakMemory(registry.pid);
  const blob = await client.must(200, { method: 'HEAD', path: `/v2/large/blob/blobs/${digest}` });
  assert.equal(blob.headers['content-length'], String(size));
  const assertSame = async (body: AsyncIterable<Buffer>) => {
    await assertPieces(body, pieces, size);
  };
  return { peak, digest, assertSame, client, registry };
}

/** @returns the digest of what was sent */
async function sendMuch(patch: ClientRequest, pieces: Pieces, size: number): Promise<string> {
  const hash = createHash('sha256');
  for (let sent = 0; sent < size; sent += MiB) {
    const bytes = pieces.at(sent / MiB);
    hash.update(bytes);
    if (!patch.write(bytes)) await once(patch, 'drain');
  }
  patch.end();
  return `sha256:${hash.digest('hex')}`;
}

/** Compares them, as another hash of gigabytes takes long. */
async function assertPieces(body: AsyncIterable<Buffer>, pieces: Pieces, size: number): Promise<void> {
  let [read, piece] = [0, pieces.at(0)];
  for await (let bytes of body) {
    while (bytes.length > 0) {
      const at = read % MiB;
      if (at === 0) piece = pieces.at(read / MiB);
      const some = bytes.subarray(0, MiB - at);
      assert.equal(some.compare(piece, at, at + some.length), 0, `the bytes after ${read} are others`);
      read += some.length;
      bytes = bytes.subarray(some.length);
    }
  }
  assert.equal(read, size);
}
