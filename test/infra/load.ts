/*
 * What hostile clients may cost a server: the loads that `npm run bench:load` measures, and that a test holds to three times
 * the figures.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Client, descriptor, digestOf, imageType, manifest, withDigest } from '../functions/client.ts';
import { startPings, type Pings } from './pings.ts';
import { dial, head, pathOf } from './raw-http.ts';

const MiB = 1024 * 1024;

export interface Load {
  /** Clients that read little of a blob. */
  readonly readers: number;
  /** Uploads whose clients send nearly a part and then nothing. */
  readonly stalledUploads: number;
  /** Concurrently pushed manifests of {@link layers} layers. */
  readonly manifests: number;
}

export const usualLoad: Load = { readers: 1500, stalledUploads: 64, manifests: 200 };

const layers = 2000;

/** What other clients see meanwhile. */
export interface LoadResult {
  readonly pings: Pings;
  /** Milliseconds of the push of 20 MiB by another client. */
  readonly push: number;
  /** Answers to the manifests, by status. */
  readonly manifests: ReadonlyMap<number, number>;
  /** Answers to the uploads that stalled and then went on, by status. */
  readonly uploads: ReadonlyMap<string, number>;
}

/** Puts a load on a registry, looks how it does, and ends it. @param url its base URL */
export async function putLoad(url: string, load: Load): Promise<LoadResult> {
  const client = new Client(url);
  const blob = randomBytes(16 * MiB);
  const digest = await client.pushBlob('load/app', blob);
  const image = await manyLayers(client);
  const endPings = await startPings(url);
  const readers = await many(load.readers, async () => await slowReader(url, digest));
  const uploads = await many(load.stalledUploads, async () => await stalledUpload(client));
  const pushes = many(load.manifests, async (i) => {
    const { status } = await client.send({
      method: 'PUT',
      path: `/v2/load/app/manifests/tag-${i}`,
      headers: { 'content-type': imageType },
      body: image,
    });
    return status;
  });
  const began = performance.now();
  await client.pushBlob('load/other', randomBytes(20 * MiB));
  const push = performance.now() - began;
  const manifests = counts(await pushes);
  const finished = await Promise.all(uploads.map(async (upload) => await upload.finish()));
  for (const socket of readers) socket.destroy();
  return { pings: await endPings(), push, manifests, uploads: counts(finished) };
}

/** Sends requests ahead on connections that read no answers. @param url its base URL */
export async function putPipelined(
  url: string,
  { connections, requests }: { readonly connections: number; readonly requests: number },
) {
  const sent = Buffer.from(head('GET', '/v2/none/tags/list').repeat(requests));
  const sockets = await many(connections, async () => (await dial(url)).pause());
  for (const socket of sockets) socket.write(sent);
  return {
    /** How many the registry has not closed. */
    open: () => sockets.filter((socket) => !socket.closed).length,
    end: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function many<T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> {
  return await Promise.all(Array.from({ length: count }, async (_, i) => await make(i)));
}

function counts<T>(values: readonly T[]): Map<T, number> {
  const found = new Map<T, number>();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return found;
}

async function manyLayers(client: Client): Promise<Buffer> {
  const blobs: Buffer[] = [];
  for (let i = 0; i < layers; i += 50)
    await many(50, async (j) => {
      const bytes = Buffer.from(`layer ${i + j}`);
      await client.pushBlob('load/app', bytes);
      blobs.push(bytes);
    });
  const [config = Buffer.alloc(0)] = blobs;
  return manifest({ config: descriptor(config), layers: blobs.map((bytes) => descriptor(bytes)) });
}

async function slowReader(url: string, digest: string): Promise<Socket> {
  const socket = await dial(url);
  socket.pause();
  socket.write(head('GET', `/v2/load/app/blobs/${digest}`));
  return socket;
}

async function stalledUpload(client: Client) {
  const bytes = randomBytes(9 * MiB);
  const socket = await dial(client.base);
  const location = await client.startUpload('load/app');
  socket.write(head('PUT', pathOf(withDigest(location, digestOf(bytes))), `Content-Length: ${bytes.length}`));
  socket.write(bytes.subarray(0, 7.9 * MiB));
  return {
    finish: async () => {
      socket.write(bytes.subarray(7.9 * MiB));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return answer.toString().slice(9, 12);
    },
  };
}
