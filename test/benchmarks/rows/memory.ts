import { setTimeout as delay } from 'node:timers/promises';
import type { RegistryRow } from '../row.ts';
import type { Running } from '../running.ts';
import { push } from './bytes.ts';

const MiB = 1024 ** 2;

/** How long memory is given to settle before it is looked at. */
const SETTLED_MS = 1000;

/** Rows of memory, each of fresh processes. */
export function memoryOn(store: 'folder' | 's3'): readonly RegistryRow[] {
  const row = { store, unit: 'MB', more: false, rounds: 1 } as const;
  const pushes = (workers: number): RegistryRow => ({
    ...row,
    name: `${store}/memory-push${workers === 1 ? '' : `-${workers}-workers`}`,
    title: ({ MiB: { memory } }) =>
      `most memory at four pushes of ${memory} MiB${workers === 1 ? '' : `, ${workers} workers`}`,
    goal: { most: 200 + 100 * (workers - 1) },
    workers,
    prepare: async (registry, sizes) => {
      const act = async () => await push(registry, { size: sizes.MiB.memory * MiB, concurrent: 4 });
      return await Promise.resolve(async () => ({ value: inMB(await registry.peakDuring(act)) }));
    },
  });
  return [
    pushes(1),
    pushes(2),
    {
      ...row,
      name: `${store}/memory-idle`,
      title: () => 'more memory with 1,000 idle connections',
      goal: { most: 40 },
      workers: 1,
      prepare: async (registry) => {
        await registry.load('requests', { connections: 4, seconds: 1 });
        return async () => ({ value: await added(registry, 'hold', { connections: 1000 }) });
      },
    },
    {
      ...row,
      name: `${store}/memory-slow-readers`,
      title: () => 'more memory with 200 slow readers of one blob',
      goal: { most: 60 },
      workers: 1,
      prepare: async (registry) => {
        const { digest } = await push(registry, { size: 64 * MiB });
        await registry.load('pull', { size: 64 * MiB, digest, verify: true });
        const path = `/v2/bench/push/blobs/${digest}`;
        return async () => ({ value: await added(registry, 'slow', { connections: 200, path }) });
      },
    },
  ];
}

/** Megabytes that a load adds to what a registry has at rest, at most. */
async function added(
  registry: Running,
  name: string,
  flags: Readonly<Record<string, string | number>>,
): Promise<number> {
  await delay(SETTLED_MS);
  const before = await registry.memory();
  let most = 0;
  const end = await registry.hold(name, flags);
  for (let i = 0; i < 5; i++) {
    await delay(SETTLED_MS);
    most = Math.max(most, await registry.memory());
  }
  await end();
  return Math.max(0, inMB(most - before));
}

function inMB(bytes: number): number {
  return bytes / 1e6;
}
