import { announceAs } from '../operator-events.ts';
import { rollback, type Rollback } from '../registry/undo/rollback.ts';
import { readOptions, UsageError, type Command } from './command.ts';
import { nameAndFile, readTagName, readTarget } from './undo/arguments.ts';
import { immutableTags, logChange, openStorage } from './undo/open.ts';

export const command: Command = {
  summary: 'move a tag back to what it pointed at',
  usage: `Usage: stowage rollback REPOSITORY:TAG --to DIGEST|TIME [--dry-run] [FILE]

Moves a tag back to a manifest that the repository still has. stowage history lists what it pointed at.

  --to DIGEST  the manifest, such as sha256:0123…
  --to TIME    what it pointed at then: a time such as 2026-11-27T09:00Z, or a duration ago such as 2h or 3d
  --dry-run    print what would be done, and do nothing
  FILE         a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, {
      to: { type: 'string' },
      'dry-run': { type: 'boolean' },
    });
    const given = nameAndFile(positionals, 'tag, such as team/app:v1');
    const { name, tag } = readTagName(given.name);
    const { to, 'dry-run': dryRun = false } = values;
    if (to === undefined) throw new UsageError('stowage rollback needs --to');
    const target = readTarget(to);
    const opened = await openStorage(given.file, { writes: !dryRun });
    const immutable = await immutableTags(opened, name);
    const { requiredPlatforms } = opened.config;
    const announce = announceAs(opened.outbox, 'rollback');
    const options = { requiredPlatforms, dryRun, announce, ...(immutable && { immutable }) };
    const done = await rollback(opened.store, name, tag, target, options);
    if (!dryRun && done.from !== done.to)
      logChange(opened, { command: 'rollback', repository: name, tag, ...done });
    console.log(describe(`${name}:${tag}`, done, dryRun));
    return 0;
  },
};

function describe(what: string, { from, to }: Rollback, dryRun: boolean): string {
  if (from === to) return `${what} points at ${to} already`;
  return `${dryRun ? 'would move' : 'moved'} ${what} from ${from ?? 'a damaged link'} to ${to}`;
}
