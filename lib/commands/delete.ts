import { announceAs } from '../operator-events.ts';
import { deleteRepository, type DeletedRepository } from '../registry/undo/delete-repository.ts';
import { count, readOptions, type Command } from './command.ts';
import { nameAndFile, readRepositoryName } from './undo/arguments.ts';
import { forgetRepository } from './undo/list.ts';
import { immutableTags, logChange, openStorage } from './undo/open.ts';
import { reportWait } from './undo/wait.ts';

export const command: Command = {
  summary: 'delete a repository whole',
  usage: `Usage: stowage delete REPOSITORY [--dry-run] [--json] [FILE]

Deletes a repository with all its tags, manifests and links to layers, but not the repositories below it. stowage restore
brings it back for as long as garbage collection has not removed its bytes.

  --dry-run  print what would be deleted, and delete nothing
  --json     print one object for programs
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

On a bucket it ends with a wait for pushes that had begun before. It may be interrupted: the same command completes it.`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, {
      'dry-run': { type: 'boolean' },
      json: { type: 'boolean' },
    });
    const given = nameAndFile(positionals, 'repository, such as team/app');
    const name = readRepositoryName(
      given.name,
      'an image is deleted by a client of the registry, such as crane',
    );
    const { 'dry-run': dryRun = false, json = false } = values;
    const opened = await openStorage(given.file, { writes: !dryRun });
    const immutable = await immutableTags(opened, name);
    const onWait = reportWait(`deleting ${name} again completes it`);
    const deleted = await deleteRepository(opened.store, name, {
      dryRun,
      immutable,
      onWait,
      announce: announceAs(opened.outbox, 'delete'),
    });
    if (!dryRun) {
      const { tags, manifests, layers } = deleted;
      logChange(opened, { command: 'delete', repository: name, tags, manifests, layers });
      await forgetRepository(opened, name);
    }
    if (json) console.log(toJson(name, deleted, dryRun));
    else for (const line of describe(name, deleted, dryRun)) console.log(line);
    return 0;
  },
};

function toJson(
  repository: string,
  { at, pushed, ...content }: DeletedRepository,
  isDryRun: boolean,
): string {
  const fields = {
    version: 1,
    repository,
    isDryRun,
    deleted: at ?? null,
  };
  return JSON.stringify({ ...fields, ...content, pushedMeanwhile: pushed }, undefined, 2);
}

function describe(name: string, deleted: DeletedRepository, dryRun: boolean): readonly string[] {
  const { tags, manifests, layers, uploads, pushed, at } = deleted;
  const parts = [
    count(tags, 'tag'),
    count(manifests, 'manifest'),
    count(layers, 'link to layers', 'links to layers'),
  ];
  const lines = [`${dryRun ? 'would delete' : 'deleted'} ${name}: ${parts.join(', ')}`];
  if (uploads > 0)
    lines.push(
      `${dryRun ? 'would end' : 'ended'} ${count(uploads, 'upload')} through distribution, which cannot come back`,
    );
  if (pushed.tags + pushed.manifests > 0)
    lines.push(
      `pushed meanwhile, and still there: ${count(pushed.tags, 'tag')}, ${count(pushed.manifests, 'manifest')}`,
    );
  if (at !== undefined)
    lines.push(`stowage restore ${name} brings it back, unless garbage collection takes its bytes before`);
  return lines;
}
