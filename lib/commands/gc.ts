import { Garbage } from '../maintenance/collection/garbage.ts';
import { count, onlyFile, readOptions, refuseOptionsOfNpm, UsageError, type Command } from './command.ts';
import { readAge } from './duration.ts';
import { jsonOfVersions } from './kept-versions.ts';
import { lookAtStorage, reportDamaged } from './look.ts';
import { size } from '../protocol/sizes.ts';

export const command: Command = {
  summary: 'show what garbage collection could free in the storage',
  usage: `Usage: stowage gc --dry-run [--delete-untagged] [--older-than AGE] [--json] [FILE]

Shows what no tag and no manifest needs any more: manifests, links and bytes, by repository. This release deletes nothing.

  --dry-run          required
  --delete-untagged  count also manifests that nothing reaches from a tag
  --older-than AGE   count only what is older, such as 7d or 0h (default 1d)
  --json             print JSON
  FILE               a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

What manifests name is kept in the storage, below docker/registry/v2/gc/references/, unless it is read-only: the next run
need not read them again.

The exit code is 1 if a repository is damaged: nothing of it is counted.`,
  run: async (args) => await gc(args),
};

/** @returns the exit code */
async function gc(args: readonly string[]): Promise<number> {
  refuseOptionsOfNpm('gc', ['dry-run', 'delete-untagged', 'older-than', 'json'], args);
  const { values, positionals } = readOptions(args, {
    'dry-run': { type: 'boolean' },
    'delete-untagged': { type: 'boolean' },
    'older-than': { type: 'string' },
    json: { type: 'boolean' },
  });
  const age = values['older-than'];
  const youngMs = readAge('older-than', age ?? '1d');
  const deleteUntagged = values['delete-untagged'] ?? false;
  const file = onlyFile(positionals);
  if (values['dry-run'] !== true)
    throw new UsageError('this release only shows what could be freed, and deletes nothing: add --dry-run');
  const garbage = new Garbage();
  const options = { youngMs, ...(deleteUntagged && { untagged: () => youngMs }) };
  const { versions, printVersions } = await lookAtStorage(file, options, garbage);
  if (values.json === true)
    console.log(JSON.stringify({ ...jsonOf(garbage), ...jsonOfVersions(versions) }, undefined, 2));
  else printGarbage(garbage, { deleteUntagged, age: age ?? '1d', printVersions });
  reportDamaged(garbage.damaged);
  return garbage.damaged.length === 0 ? 0 : 1;
}

function jsonOf({ total, freed, young, unlinked, repositories, damaged }: Garbage) {
  return { total, freed, young, unlinked, repositories, damaged };
}

interface Printed {
  readonly age: string;
  readonly deleteUntagged: boolean;
  readonly printVersions: () => void;
}

function printGarbage(garbage: Garbage, { age, deleteUntagged, printVersions }: Printed): void {
  const { total, freed, young, unlinked } = garbage;
  for (const { name, manifests, links, bytes, isEmptied } of garbage.repositories) {
    const rest = isEmptied ? ', and nothing would be left' : '';
    console.log(`${name}: ${count(manifests, 'manifest')}, ${count(links, 'link')}, ${size(bytes)}${rest}`);
  }
  if (unlinked.blobs > 0)
    console.log(`in no repository: ${count(unlinked.blobs, 'blob')}, ${size(unlinked.bytes)}`);
  console.log(
    `could be freed: ${size(freed.bytes)} of ${size(total.bytes)}, in ${freed.blobs} of ${count(total.blobs, 'blob')}, with ` +
      `${count(freed.manifests, 'manifest')} and ${count(freed.links, 'link')} of ` +
      `${freed.repositories} of ${count(total.repositories, 'repository', 'repositories')}`,
  );
  const youngManifests = deleteUntagged ? `, ${count(young.manifests, 'manifest')}` : '';
  if (young.blobs + young.links + young.manifests > 0)
    console.log(
      `not counted, since it is younger than ${age}: ${size(young.bytes)} in ${count(young.blobs, 'blob')}` +
        `${youngManifests}, ${count(young.links, 'link')}`,
    );
  printVersions();
  console.log('Nothing was deleted: this release only shows what could be freed.');
}
