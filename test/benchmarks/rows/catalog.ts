import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { command } from '../../servers/process.ts';
import type { Measure, RegistryRow } from '../row.ts';
import type { Running } from '../running.ts';
import type { Sizes } from '../sizes.ts';
import { repeated } from './requests.ts';

/** Repositories of the short catalog, and of a group that is copied as a whole. */
const few = 1600;
const group = 100;

const [firstGroup, firstMember] = [1000, 100];

/** The entries of a page. */
const page = 100;
const firstPage = `/v2/_catalog?n=${page}`;

/** A registry that reads the whole catalog for a page is given up. */
const PAGE_WITHIN_MS = 60_000;

/** Rows of the short catalog, which all registries have. */
export function catalogOn(store: 'folder' | 's3'): readonly RegistryRow[] {
  return [
    {
      ...{ name: `${store}/catalog`, store, unit: 'per second', more: true, goal: { ratio: 1 } },
      title: () => `catalog page of ${page}, ${inWords(few)}`,
      inMemory: true,
      prepare: async (registry, sizes) => {
        await seedCatalog(registry, few);
        return await pages(registry, few, sizes);
      },
    },
  ];
}

/** Rows of the long catalog, of this registry alone: the others would take hours. */
export const longCatalogRows: readonly RegistryRow[] = [
  {
    ...{ name: 'folder/catalog-growth', store: 'folder', unit: 'times', more: false },
    title: ({ repositories }) => `a catalog page of ${inWords(repositories)} by one of ${inWords(few)}`,
    // Equal, but for what no clock can tell.
    goal: { most: 1.2 },
    inMemory: true,
    alone: true,
    prepare: prepareGrowth,
  },
  {
    ...{ name: 's3/catalog-bucket-requests', store: 's3', unit: 'requests', more: false, rounds: 1 },
    title: ({ repositories }) => `bucket requests of a catalog page, ${inWords(repositories)}`,
    goal: { most: 1 },
    inMemory: true,
    alone: true,
    counted: true,
    prepare: prepareCount,
  },
];

function inWords(repositories: number): string {
  return `${repositories.toLocaleString('en')} repositories`;
}

/** Pages from the middle, which a registry that reads the catalog from its start is slow at. */
async function pages(registry: Running, repositories: number, sizes: Sizes): Promise<Measure> {
  const middle = `g${firstGroup + Math.floor(repositories / group / 2)}/r${firstMember + group / 2}`;
  const path = `${firstPage}&last=${encodeURIComponent(middle)}`;
  await readPage(registry, path);
  return repeated(registry, { method: 'GET', path, connections: 4 }, sizes);
}

/** How many times as long a page takes after many repositories have come. */
async function prepareGrowth(registry: Running, sizes: Sizes): Promise<Measure> {
  await seedCatalog(registry, few);
  const before = await (await pages(registry, few, sizes))();
  await registry.restart(async () => {
    await copyGroups(registry, few / group, sizes.repositories / group);
  });
  const measure = await pages(registry, sizes.repositories, sizes);
  return async () => ({ value: before.value / (await measure()).value });
}

/** The requests to the bucket of the first page. */
async function prepareCount(registry: Running, { repositories }: Sizes): Promise<Measure> {
  await seedCatalog(registry, repositories);
  return async () => {
    await registry.proxy?.settled();
    registry.proxy?.reset();
    await readPage(registry, firstPage);
    return { value: registry.proxy?.requests.length ?? NaN };
  };
}

async function readPage(registry: Running, path: string): Promise<void> {
  const answer = await fetch(registry.url + path, { signal: AbortSignal.timeout(PAGE_WITHIN_MS) });
  const { repositories: names } = (await answer.json()) as { repositories: string[] };
  if (names.length !== page) throw new Error(`a page has ${names.length} repositories, not ${page}`);
}

/** Copies an image's repository in the storage itself, where links make that quick. */
async function seedCatalog(registry: Running, repositories: number): Promise<void> {
  await registry.load('seed', { repository: 'seed' });
  await registry.restart(async () => {
    const { contender, place } = registry;
    const first = contender.repository(`g${firstGroup}`, place);
    await mkdir(first, { recursive: true });
    await copies(contender.repository('seed', place), join(first, 'r'), firstMember, group);
    await copyGroups(registry, 1, repositories / group);
  });
}

/** To g1000/r100, g1000/r101, … g1001/r100, …: all names have the same length, so that they sort by number. */
async function copyGroups({ contender, place }: Running, from: number, to: number): Promise<void> {
  const first = contender.repository(`g${firstGroup}`, place);
  await copies(first, join(dirname(first), 'g'), firstGroup + from, to - from);
}

/** Copies a folder to others whose names end with consecutive numbers. */
async function copies(folder: string, to: string, first: number, count: number): Promise<void> {
  const script = 'for i in $(seq "$2" "$3"); do cp -al "$0" "$1$i"; done';
  await command('sh', ['-c', script, folder, to, String(first), String(first + count - 1)]);
}
