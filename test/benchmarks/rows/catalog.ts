import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
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

/** Rows of the catalog. */
export function catalogOn(store: 'folder' | 's3'): readonly RegistryRow[] {
  return [
    {
      name: `${store}/catalog`,
      title: () => `catalog page of ${page}, ${few.toLocaleString('en')} repositories`,
      unit: 'per second',
      more: true,
      goal: { ratio: 1 },
      store,
      prepare: async (registry, sizes) => await prepareCatalog(registry, sizes, few),
    },
    {
      name: `${store}/catalog-long`,
      title: ({ repositories }) =>
        `catalog page of ${page}, ${repositories.toLocaleString('en')} repositories`,
      unit: 'per second',
      more: true,
      goal: { ratio: 1 },
      store,
      prepare: async (registry, sizes) => await prepareCatalog(registry, sizes, sizes.repositories),
    },
  ];
}

/** Pages from the middle, which a registry that reads the catalog from its start is slow at. */
async function prepareCatalog(registry: Running, sizes: Sizes, repositories: number): Promise<Measure> {
  const path = await seedCatalog(registry, repositories);
  const answer = await fetch(registry.url + path);
  const { repositories: names } = (await answer.json()) as { repositories: string[] };
  if (names.length !== page) throw new Error(`a page has ${names.length} repositories, not ${page}`);
  return repeated(registry, { method: 'GET', path, connections: 4 }, sizes);
}

/** Copies an image's repository in the storage itself, where links make that quick. @returns the path of a page */
export async function seedCatalog(registry: Running, repositories: number): Promise<string> {
  await registry.load('seed', { repository: 'seed' });
  await registry.restart(async () => {
    await copyRepository(registry, repositories / group);
  });
  const middle = `g${firstGroup + Math.floor(repositories / group / 2)}/r${firstMember + group / 2}`;
  return `/v2/_catalog?n=${page}&last=${encodeURIComponent(middle)}`;
}

/** To g1000/r100, g1000/r101, … g1001/r100, …: all names have the same length, so that they sort by number. */
async function copyRepository({ contender, place }: Running, groups: number): Promise<void> {
  const seed = contender.repository('seed', place);
  const first = contender.repository(`g${firstGroup}`, place);
  await mkdir(first, { recursive: true });
  const members = `for i in $(seq ${firstMember} ${firstMember + group - 1}); do cp -al "$0" "$1/r$i"; done`;
  await command('sh', ['-c', members, seed, first]);
  const others = `for i in $(seq ${firstGroup + 1} ${firstGroup + groups - 1}); do cp -al "$0" "$1/g$i"; done`;
  await command('sh', ['-c', others, first, dirname(first)]);
}
