import type { Garbage } from '../../maintenance/collection/garbage.ts';
import { size } from '../../protocol/sizes.ts';
import { count } from '../command.ts';

export function jsonOfGarbage({ total, freed, young, unlinked, repositories, damaged }: Garbage) {
  return { total, freed, young, unlinked, repositories, damaged };
}

export interface Printed {
  /** What is younger does not count. */
  readonly age: string;
  readonly deleteUntagged: boolean;
  /** Whether bytes stay, and are left out. */
  readonly onlyLinks: boolean;
}

/** That a run without --exclusive frees nothing, and what does. @param garbage what a look found, if there was one */
export function noSpaceFreed(garbage: Garbage | undefined): string {
  const freed = garbage && `${size(garbage.freed.bytes)} in ${count(garbage.freed.blobs, 'blob')}`;
  return (
    'No space is freed without --exclusive, since other registries may write to the storage, and must find the bytes. Once none does, ' +
    `stowage gc --exclusive frees ${freed ?? 'them'}.`
  );
}

/** What a run without --exclusive would take. */
export function onlyLinksWouldGo(garbage: Garbage): string {
  return `Without --exclusive only ${linksOf(garbage)} would go, and no space would be freed.`;
}

function linksOf({ freed, total }: Garbage): string {
  return (
    `${count(freed.manifests, 'manifest')} and ${count(freed.links, 'link')} of ` +
    `${freed.repositories} of ${count(total.repositories, 'repository', 'repositories')}`
  );
}

/** Prints by repository what nothing needs. @param sum what its sum is called */
export function printGarbage(
  garbage: Garbage,
  sum: string,
  { age, deleteUntagged, onlyLinks }: Printed,
): void {
  const { total, freed, young, unlinked } = garbage;
  for (const { name, manifests, links, bytes, isEmptied } of garbage.repositories) {
    const rest = isEmptied ? ', and nothing would be left' : '';
    const ofBytes = onlyLinks ? '' : `, ${size(bytes)}`;
    console.log(`${name}: ${count(manifests, 'manifest')}, ${count(links, 'link')}${ofBytes}${rest}`);
  }
  if (unlinked.blobs > 0 && !onlyLinks)
    console.log(`in no repository: ${count(unlinked.blobs, 'blob')}, ${size(unlinked.bytes)}`);
  const bytes = `${size(freed.bytes)} of ${size(total.bytes)}, in ${freed.blobs} of ${count(total.blobs, 'blob')}`;
  console.log(`${sum}: ${onlyLinks ? '' : `${bytes}, with `}${linksOf(garbage)}`);
  const youngManifests = deleteUntagged ? `, ${count(young.manifests, 'manifest')}` : '';
  if (young.blobs + young.links + young.manifests > 0)
    console.log(
      `not counted, since it is younger than ${age}: ${size(young.bytes)} in ${count(young.blobs, 'blob')}` +
        `${youngManifests}, ${count(young.links, 'link')}`,
    );
}
