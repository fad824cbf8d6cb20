import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { BucketProxy, Fate } from '../../servers/bucket-proxy.ts';
import {
  descriptor,
  digestOf,
  imageType,
  manifest,
  send,
  type Ask,
  type Reply,
} from '../../functions/client.ts';
import type { RegistryRow, Sample } from '../row.ts';
import type { Running } from '../running.ts';

/** Tags of the image when its tags are listed and it is deleted. */
const tags = 11;

/** Much longer than requests that are sent together are apart. */
const DELAY_MS = 50;

const row = { store: 's3', more: false, rounds: 1, counted: true, unit: 'requests' } as const;

/** Rows that count requests to the bucket, which say the same on any machine. */
export const bucketRequestRows: readonly RegistryRow[] = [
  {
    ...row,
    name: 's3/bucket-requests',
    title: () => 'bucket requests of the whole list',
    goal: { most: 48 },
    quick: true,
    prepare: async (registry) => await Promise.resolve(async () => await countAll(registry)),
  },
  {
    ...row,
    name: 's3/bucket-requests-in-a-row',
    title: () => 'bucket requests in a row of a push of a small blob',
    goal: { ratio: 1 / 3 },
    prepare: async (registry) => {
      const { base, proxy } = counterOf(registry);
      await pushBlob(base, 'warm', randomBytes(100));
      return async () => {
        const inARow = watchRow(proxy);
        await pushBlob(base, 'app', randomBytes(100));
        await proxy.settled();
        return { value: inARow() };
      };
    },
  },
];

/** Counts the requests of each operation. */
async function countAll(registry: Running): Promise<Sample> {
  const { base, proxy } = counterOf(registry);
  // What is asked once, at the start.
  await pushBlob(base, 'warm', randomBytes(100));
  const parts: Record<string, number> = {};
  const count = async (name: string, act: () => Promise<unknown>) => {
    await proxy.settled();
    proxy.reset();
    await act();
    await proxy.settled();
    parts[name] = (parts[name] ?? 0) + proxy.requests.length;
  };
  const blobs = [randomBytes(1500), randomBytes(8000), randomBytes(8000)] as const;
  for (const blob of blobs) await count('push of a blob', async () => await pushBlob(base, 'app', blob));
  const [config, ...layers] = blobs;
  const image = manifest({ config: descriptor(config), layers: layers.map((layer) => descriptor(layer)) });
  const digest = digestOf(image);
  await count('PUT of a manifest', async () => await putManifest(base, 'tag-0', image));
  const manifests = '/v2/app/manifests';
  await count('HEAD of a manifest by tag', async () => await read(base, 'HEAD', `${manifests}/tag-0`));
  await count('GET of a manifest by tag', async () => await read(base, 'GET', `${manifests}/tag-0`));
  await count('GET of a manifest by digest', async () => await read(base, 'GET', `${manifests}/${digest}`));
  const blob = `/v2/app/blobs/${digestOf(config)}`;
  await count('HEAD of a blob', async () => await read(base, 'HEAD', blob));
  await count('GET of a blob', async () => await read(base, 'GET', blob));
  await count('mount', async () => {
    await mount(base, digestOf(config));
  });
  for (let i = 1; i < tags; i++) await putManifest(base, `tag-${i}`, image);
  await count('list of tags', async () => await read(base, 'GET', '/v2/app/tags/list'));
  await count('DELETE of a manifest', async () => {
    await must(base, 202, { method: 'DELETE', path: `${manifests}/${digest}` });
  });
  return { value: Object.values(parts).reduce((sum, one) => sum + one, 0), parts };
}

function counterOf(registry: Running): { base: string; proxy: BucketProxy } {
  if (registry.proxy === undefined) throw new Error('no proxy counts the requests');
  return { base: registry.url, proxy: registry.proxy };
}

/** As docker does. */
async function pushBlob(base: string, name: string, blob: Buffer): Promise<Reply> {
  const path = `/v2/${name}/blobs`;
  await must(base, 404, { method: 'HEAD', path: `${path}/${digestOf(blob)}` });
  const begun = await must(base, 202, { method: 'POST', path: `${path}/uploads/` });
  const sent = await must(base, 202, { method: 'PATCH', path: locationOf(begun), body: blob, chunked: true });
  const last = new URL(locationOf(sent));
  last.searchParams.set('digest', digestOf(blob));
  return await must(base, 201, { method: 'PUT', path: last.href });
}

async function putManifest(base: string, tag: string, image: Buffer): Promise<Reply> {
  const headers = { 'content-type': imageType };
  return await must(base, 201, { method: 'PUT', path: `/v2/app/manifests/${tag}`, headers, body: image });
}

/** A registry may begin an upload instead. */
async function mount(base: string, digest: string): Promise<void> {
  const path = `/v2/other/blobs/uploads/?mount=${digest}&from=app`;
  const { status } = await send(base, { method: 'POST', path });
  if (status !== 201 && status !== 202) throw new Error(`the mount was answered with ${status}`);
}

async function read(base: string, method: 'GET' | 'HEAD', path: string): Promise<Reply> {
  return await must(base, 200, { method, path, headers: { accept: imageType } });
}

async function must(base: string, status: number, ask: Ask): Promise<Reply> {
  const reply = await send(base, ask);
  if (reply.status === status) return reply;
  throw new Error(
    `${ask.method} ${ask.path} answered ${reply.status}: ${reply.body.toString().slice(0, 200)}`,
  );
}

function locationOf(reply: Reply): string {
  return new URL(reply.headers.location ?? '', reply.url).href;
}

/**
 * Delays each request, so that those that need no answer of one another meet.
 * @returns a function that tells how many in a row had to wait
 */
function watchRow(proxy: BucketProxy): () => number {
  let last = -Infinity;
  let count = 0;
  proxy.reset();
  proxy.intercept = async (): Promise<Fate> => {
    const now = performance.now();
    if (now >= last + DELAY_MS) {
      count++;
      last = now;
    }
    await delay(DELAY_MS);
    return 'pass';
  };
  return () => count;
}
