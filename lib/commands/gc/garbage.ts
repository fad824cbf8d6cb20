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
}

/** Prints by repository what nothing needs. @param sum what its sum is called */
export function printGarbage(garbage: Garbage, sum: string, { age, deleteUntagged }: Printed): void {
  const { total, freed, young, unlinked } = garbage;
  for (const { name, manifests, links, bytes, isEmptied } of garbage.repositories) {
    const rest = isEmptied ? ', and nothing would be left' : '';
    console.log(`${name}: ${count(manifests, 'manifest')}, ${count(links, 'link')}, ${size(bytes)}${rest}`);
  }
  if (unlinked.blobs > 0)
    console.log(`in no repository: ${count(unlinked.blobs, 'blob')}, ${size(unlinked.bytes)}`);
  console.log(
    `${sum}: ${size(freed.bytes)} of ${size(total.bytes)}, in ${freed.blobs} of ${count(total.blobs, 'blob')}, with ` +
      `${count(freed.manifests, 'manifest')} and ${count(freed.links, 'link')} of ` +
      `${freed.repositories} of ${count(total.repositories, 'repository', 'repositories')}`,
  );
  const youngManifests = deleteUntagged ? `, ${count(young.manifests, 'manifest')}` : '';
  if (young.blobs + young.links + young.manifests > 0)
    console.log(
      `not counted, since it is younger than ${age}: ${size(young.bytes)} in ${count(young.blobs, 'blob')}` +
        `${youngManifests}, ${count(young.links, 'link')}`,
    );
}
