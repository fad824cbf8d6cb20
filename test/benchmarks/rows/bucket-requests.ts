import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { BucketProxy, Fate } from '../../servers/bucket-proxy.ts';
import { Client, someName } from '../../functions/client.ts';
import { lifeOfImage, pushSteps } from '../../functions/image-life.ts';
import type { RegistryRow, Sample } from '../row.ts';
import type { Running } from '../running.ts';

/** Much longer than requests that are sent together are apart. */
const DELAY_MS = 50;

const row = {
  store: 's3',
  more: false,
  rounds: 1,
  counted: true,
  unit: 'requests',
  // Each process remembers for itself, and which of several gets a request is chance.
  workers: 1,
} as const;

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
      const { client, proxy } = counterOf(registry);
      await push(client);
      return async () => {
        const inARow = watchRow(proxy);
        await push(client);
        await proxy.settled();
        return { value: inARow() };
      };
    },
  },
];

/** Counts the requests of each step. */
async function countAll(registry: Running): Promise<Sample> {
  const { client, proxy } = counterOf(registry);
  // What is asked once, at the start.
  await push(client);
  const parts: Record<string, number> = {};
  for (const { title, act, isPreparation } of lifeOfImage([201, 202])) {
    await proxy.settled();
    proxy.reset();
    await act(client);
    await proxy.settled();
    if (isPreparation !== true) parts[title] = proxy.requests.length;
  }
  return { value: Object.values(parts).reduce((sum, one) => sum + one, 0), parts };
}

function counterOf(registry: Running): { client: Client; proxy: BucketProxy } {
  if (registry.proxy === undefined) throw new Error('no proxy counts the requests');
  return { client: new Client(registry.url), proxy: registry.proxy };
}

/** Pushes a small blob that no other is like. */
async function push(client: Client): Promise<void> {
  for (const { act } of pushSteps(someName(), randomBytes(100), 'a blob')) await act(client);
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
