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
  readonly client: Client;
  readonly registry: Stowage;
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
  const digest = await sendMuch(patch, size);
  const [answer] = await answered;
  answer.resume();
  assert.equal(answer.headers.range, `0-${size - 1}`);
  await client.must(201, { method: 'PUT', path: withDigest(answer.headers.location ?? '', digest) });
  const peak = await peakMemory(registry.pid);
  const blob = await client.must(200, { method: 'HEAD', path: `/v2/large/blob/blobs/${digest}` });
  assert.equal(blob.headers['content-length'], String(size));
  return { peak, digest, client, registry };
}

/** @returns the digest of what was sent */
async function sendMuch(patch: ClientRequest, size: number): Promise<string> {
  const hash = createHash('sha256');
  const piece = randomBytes(1024 * 1024);
  for (let sent = 0; sent < size; sent += piece.length) {
    piece.writeUInt32LE(sent / piece.length);
    const bytes = Buffer.from(piece);
    hash.update(bytes);
    if (!patch.write(bytes)) await once(patch, 'drain');
  }
  patch.end();
  return `sha256:${hash.digest('hex')}`;
}
