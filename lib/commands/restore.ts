import { announceAs } from '../operator-events.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import { restoreRepository, type RestoredRepository } from '../registry/undo/restore-repository.ts';
import { restoreTag, type RestoredTag } from '../registry/undo/restore-tag.ts';
import { count, readOptions, type Command } from './command.ts';
import { nameAndFile, readRepositoryName, readTagName } from './undo/arguments.ts';
import { recordRepositories } from './undo/list.ts';
import { logChange, openStorage, type Opened } from './undo/open.ts';
import { reportWait } from './undo/wait.ts';

export const command: Command = {
  summary: 'bring back a deleted tag, or a repository deleted whole',
  usage: `Usage: stowage restore REPOSITORY[:TAG] [--dry-run] [FILE]

Brings back a deleted tag with its history and its image, or all of a repository that stowage delete has deleted, unless
garbage collection has taken them.

  --dry-run  print what would be done, and do nothing
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

The exit code is 1 if something of a repository cannot come back.`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, { 'dry-run': { type: 'boolean' } });
    const given = nameAndFile(positionals, 'tag or repository, such as team/app:v1 or team/app');
    const named = given.name.includes(':')
      ? readTagName(given.name)
      : { name: readRepositoryName(given.name), tag: undefined };
    const { 'dry-run': dryRun = false } = values;
    const opened = await openStorage(given.file, { writes: !dryRun });
    return named.tag === undefined
      ? await wholeRepository(opened, named.name, dryRun)
      : await oneTag(opened, named.name, named.tag, dryRun);
  },
};

async function oneTag(opened: Opened, name: RepositoryName, tag: Tag, dryRun: boolean): Promise<number> {
  const { requiredPlatforms } = opened.config;
  const restored = await restoreTag(opened.store, name, tag, {
    requiredPlatforms,
    dryRun,
    announce: announceAs(opened.outbox, 'restore'),
  });
  if (!dryRun) logChange(opened, { command: 'restore', repository: name, tag, to: restored.digest });
  console.log(describeTag(name, restored, dryRun));
  return 0;
}

function describeTag(name: string, restored: RestoredTag, dryRun: boolean): string {
  const { tag, digest, deleted, manifests } = restored;
  const what = `${name}:${tag} at ${digest}, deleted ${deleted.toISOString()}`;
  const more = manifests.length === 0 ? '' : `, with ${count(manifests.length, 'deleted manifest')}`;
  return `${dryRun ? 'would restore' : 'restored'} ${what}${more}`;
}

/** @returns the exit code */
async function wholeRepository(opened: Opened, name: RepositoryName, dryRun: boolean): Promise<number> {
  const { requiredPlatforms } = opened.config;
  const onWait = reportWait(`restoring ${name} again completes it`);
  const restored = await restoreRepository(opened.store, name, {
    requiredPlatforms,
    dryRun,
    onWait,
    announce: announceAs(opened.outbox, 'restore'),
  });
  if (!dryRun) {
    const { tags, manifests, layers } = restored;
    logChange(opened, { command: 'restore', repository: name, tags, manifests, layers });
    await recordRepositories(opened, name);
  }
  console.log(describeRepository(name, restored, dryRun));
  const { gone } = restored;
  if (gone.tags + gone.manifests + gone.layers === 0) return 0;
  console.error(
    `gone, since their bytes were collected: ${contentOf(gone)}${namesOf(gone)}; push these images again`,
  );
  return 1;
}

function describeRepository(name: string, restored: RestoredRepository, dryRun: boolean): string {
  const { deleted, kept } = restored;
  const what = `${name}, deleted ${deleted.toISOString()}: ${contentOf(restored)}`;
  const more =
    kept === 0 ? '' : `; ${count(kept, 'tag')} that ${kept === 1 ? 'is' : 'are'} there already stay`;
  return `${dryRun ? 'would restore' : 'restored'} ${what}${more}`;
}

function contentOf({
  tags,
  manifests,
  layers,
}: Pick<RestoredRepository, 'tags' | 'manifests' | 'layers'>): string {
  const links = count(layers, 'link to layers', 'links to layers');
  return `${count(tags, 'tag')}, ${count(manifests, 'manifest')}, ${links}`;
}

function namesOf({ tags, named }: RestoredRepository['gone']): string {
  if (tags === 0) return '';
  const more = tags > named.length ? ` and ${tags - named.length} more` : '';
  return ` (${named.join(', ')}${more})`;
}
