import type { LoadResult } from '../generator.ts';
import type { Measure, RegistryRow, Sample } from '../row.ts';
import type { Running } from '../running.ts';
import type { Sizes } from '../sizes.ts';

const MiB = 1024 ** 2;

/** How blobs are pushed. */
export interface Push {
  /** Bytes of each. */
  readonly size: number;
  readonly concurrent?: number;
  /** Bytes of a chunk; one stream unless given. */
  readonly chunk?: number;
}

/** Rows of large blobs. */
export function bytesOn(store: 'folder' | 's3'): readonly RegistryRow[] {
  const row = { store, unit: 'MiB/s', more: true, quick: true } as const;
  const pushed = { ...row, goal: { ratio: store === 's3' ? 1.5 : 1 } };
  const push = (of: (sizes: Sizes) => Push): RegistryRow['prepare'] => {
    return async (registry, sizes) => await preparePush(registry, of(sizes));
  };
  return [
    {
      ...pushed,
      name: `${store}/push`,
      title: ({ MiB: { [store]: size } }) => `push ${size} MiB, PATCH`,
      prepare: push((sizes) => ({ size: sizes.MiB[store] * MiB })),
    },
    {
      ...pushed,
      name: `${store}/push-four`,
      title: (sizes) => `push four at once, ${sizes.MiB.concurrent} MiB each`,
      prepare: push((sizes) => ({ size: sizes.MiB.concurrent * MiB, concurrent: 4 })),
    },
    {
      ...row,
      name: `${store}/push-chunks`,
      goal: { ratio: 1 },
      title: (sizes) => `push ${sizes.MiB.chunked} MiB in 4 MiB chunks`,
      prepare: push((sizes) => ({ size: sizes.MiB.chunked * MiB, chunk: 4 * MiB })),
    },
    {
      ...row,
      name: `${store}/pull`,
      goal: { ratio: 1 },
      cached: 'counts',
      title: ({ MiB: { [store]: size } }) => `pull ${size} MiB${store === 's3' ? ', redirects off' : ''}`,
      prepare: async (registry, sizes) => await preparePull(registry, sizes.MiB[store] * MiB, sizes.pulls),
    },
  ];
}

/** Pushes blobs. @returns the digest of the first, and what it took */
export async function push(
  registry: Running,
  { size, ...more }: Push,
): Promise<LoadResult & { digest: string }> {
  return await registry.load('push', { size, ...more });
}

async function preparePush(registry: Running, how: Push): Promise<Measure> {
  // The code is compiled first.
  await push(registry, { ...how, size: Math.min(how.size, 64 * MiB) });
  return async () => {
    await registry.flush();
    return perMiB(await push(registry, how));
  };
}

async function preparePull(registry: Running, size: number, times: number): Promise<Measure> {
  const { digest } = await push(registry, { size });
  await registry.load('pull', { size, digest, verify: true });
  await registry.flush();
  return async () => perMiB(await registry.load('pull', { size, digest, times }));
}

function perMiB({ bytes, seconds, serverCpu }: LoadResult): Sample {
  const megabytes = bytes / MiB;
  return { value: megabytes / seconds, cpu: (serverCpu * 1e6) / megabytes };
}
