import { restoreTag, type RestoredTag } from '../registry/undo/restore-tag.ts';
import { count, readOptions, type Command } from './command.ts';
import { nameAndFile, readTagName } from './undo/arguments.ts';
import { logChange, openStorage } from './undo/open.ts';

export const command: Command = {
  summary: 'bring back a deleted tag',
  usage: `Usage: stowage restore REPOSITORY:TAG [--dry-run] [FILE]

Brings back a tag that was deleted in the last 30 days, with its history and its image.

  --dry-run  print what would be done, and do nothing
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, { 'dry-run': { type: 'boolean' } });
    const given = nameAndFile(positionals, 'tag, such as team/app:v1');
    const { name, tag } = readTagName(given.name);
    const { 'dry-run': dryRun = false } = values;
    const opened = await openStorage(given.file, { writes: !dryRun });
    const { requiredPlatforms } = opened.config;
    const restored = await restoreTag(opened.store, name, tag, { requiredPlatforms, dryRun });
    if (!dryRun) logChange(opened, { command: 'restore', repository: name, tag, to: restored.digest });
    console.log(describe(name, restored, dryRun));
    return 0;
  },
};

function describe(name: string, { tag, digest, deleted, manifests }: RestoredTag, dryRun: boolean): string {
  const what = `${name}:${tag} at ${digest}, deleted ${deleted.toISOString()}`;
  const more = manifests.length === 0 ? '' : `, with ${count(manifests.length, 'deleted manifest')}`;
  return `${dryRun ? 'would restore' : 'restored'} ${what}${more}`;
}
