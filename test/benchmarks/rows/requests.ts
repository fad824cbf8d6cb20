import type { LoadResult, Seeded } from '../generator.ts';
import type { Measure, RegistryRow, Sample } from '../row.ts';
import type { Running } from '../running.ts';
import type { Sizes } from '../sizes.ts';

/** The repository that has the image that is read. */
const repository = 'bench/seed';

/** Enough for a list that is not short, and fewer than zot takes long to write. */
const tags = 100;

/** A request that is made again and again. */
interface Asked {
  readonly method: 'GET' | 'HEAD';
  readonly path: string;
  /** 16 unless given. */
  readonly connections?: number;
}

/** Rows of small requests, and of small images. */
export function requestsOn(store: 'folder' | 's3'): readonly RegistryRow[] {
  const row = { store, unit: 'per second', more: true, goal: { ratio: 1 } } as const;
  return [
    {
      ...row,
      name: `${store}/get-manifest`,
      title: () => 'GET manifest by tag, 16 connections',
      quick: true,
      cached: 'counts',
      prepare: asking(() => ({ method: 'GET', path: `/v2/${repository}/manifests/tag-0` })),
    },
    {
      ...row,
      name: `${store}/head-manifest`,
      title: () => 'HEAD manifest by tag',
      cached: 'counts',
      prepare: asking(() => ({ method: 'HEAD', path: `/v2/${repository}/manifests/tag-0` })),
    },
    {
      ...row,
      name: `${store}/get-manifest-by-digest`,
      title: () => 'GET manifest by digest',
      cached: 'counts',
      prepare: asking(({ manifest }) => ({ method: 'GET', path: `/v2/${repository}/manifests/${manifest}` })),
    },
    {
      ...row,
      name: `${store}/head-blob`,
      title: () => 'HEAD blob',
      quick: true,
      cached: 'beside',
      prepare: asking(({ layer }) => ({ method: 'HEAD', path: `/v2/${repository}/blobs/${layer}` })),
    },
    {
      ...row,
      name: `${store}/get-blob`,
      title: () => 'GET blob of 8 KiB',
      cached: 'beside',
      prepare: asking(({ layer }) => ({ method: 'GET', path: `/v2/${repository}/blobs/${layer}` })),
    },
    {
      ...row,
      name: `${store}/tags`,
      title: () => `list of ${tags} tags`,
      prepare: asking(() => ({ method: 'GET', path: `/v2/${repository}/tags/list` }), tags),
    },
    {
      ...row,
      name: `${store}/images`,
      title: () => 'small images pushed',
      quick: true,
      goal: { ratio: store === 's3' ? 1.5 : 1 },
      prepare: async (registry, sizes) => await Promise.resolve(() => pushImages(registry, sizes)),
    },
  ];
}

/** Prepares requests about an image. */
function asking(asked: (image: Seeded) => Asked, tagged = 1): RegistryRow['prepare'] {
  return async (registry, sizes) => {
    const image = await registry.load<Seeded>('seed', { repository, tags: tagged });
    return repeated(registry, asked(image), sizes);
  };
}

/** A rate of requests. */
export function repeated(registry: Running, { connections = 16, ...asked }: Asked, sizes: Sizes): Measure {
  const flags = { ...asked, connections, seconds: sizes.seconds, 'warm-up': sizes.warmUp };
  return async () => perOperation(await registry.load('requests', flags));
}

async function pushImages(registry: Running, { seconds, warmUp }: Sizes): Promise<Sample> {
  await registry.flush();
  return perOperation(await registry.load('images', { seconds, 'warm-up': warmUp }));
}

function perOperation({ count, seconds, serverCpu }: LoadResult): Sample {
  return { value: count / seconds, cpu: (serverCpu * 1e6) / count };
}
