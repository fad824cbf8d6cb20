import { assertWritable } from '../config/config.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { Garbage } from '../maintenance/collection/garbage.ts';
import { onlyFile, readOptions, refuseOptionsOfNpm, type Command } from './command.ts';
import { readAge } from './duration.ts';
import { collect } from './gc/collect.ts';
import { jsonOfGarbage, onlyLinksWouldGo, printGarbage } from './gc/garbage.ts';
import { jsonOfReport, printReport } from './gc/report.ts';
import { untaggedByRules } from './gc/untagged.ts';
import { jsonOfVersions } from './kept-versions.ts';
import { lookAtStorage, openConfigured, reportDamaged, type ConfiguredStorage } from './look.ts';

export const command: Command = {
  summary: 'delete what nothing needs from the storage',
  usage: `Usage: stowage gc [--dry-run] [--delete-untagged] [--older-than AGE] [--exclusive] [--force] [--json] [FILE]

Deletes what no tag and no manifest needs any more, while pushes and pulls go on. A first run condemns it; a run a day later, or
after REGISTRY_GC_DELAY, deletes it, unless it was pushed or needed again. Each run does what is due, and says when the next is.

Without --exclusive only links go, by which repositories have blobs and manifests, and NO SPACE IS FREED: other registries may
write to the storage, such as distribution, and must find the bytes. --exclusive frees them.

  --dry-run          only show what could be freed
  --delete-untagged  also manifests that nothing reaches from a tag; without it, those that a rule for retention gives up.
                     REGISTRY_GC_DELETEUNTAGGED=true says the same
  --older-than AGE   only what is older, such as 7d or 0h (default 1d)
  --exclusive        bytes go as well, since nothing else writes to the storage: no other registry, and no release without
                     garbage collection, to which you will not go back either. REGISTRY_GC_EXCLUSIVE=true says the same
  --force            start although another run was active in the last minutes
  --json             print JSON
  FILE               a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

What manifests name is kept in the storage, below docker/registry/v2/gc/references/, unless it is read-only: the next run
need not read them again.

The exit code is 0 if all that was due is done, 1 if a repository is damaged, of which nothing is deleted, or after a failure,
and 2 for wrong options. After a failure or a kill, another run goes on.`,
  run: async (args) => await gc(args),
};

/** @returns the exit code */
async function gc(args: readonly string[]): Promise<number> {
  refuseOptionsOfNpm('gc', ['dry-run', 'delete-untagged', 'older-than', 'exclusive', 'force', 'json'], args);
  const { values, positionals } = readOptions(args, {
    'dry-run': { type: 'boolean' },
    'delete-untagged': { type: 'boolean' },
    'older-than': { type: 'string' },
    exclusive: { type: 'boolean' },
    force: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  const age = values['older-than'] ?? '1d';
  const youngMs = readAge('older-than', age);
  const file = onlyFile(positionals);
  const { config } = await loadConfigFile('maintenance', file);
  const options: GcOptions = {
    age,
    youngMs,
    deleteUntagged: values['delete-untagged'] ?? config.collection.deleteUntagged,
    onlyLinks: values.exclusive !== true && !config.collection.exclusive,
    json: values.json ?? false,
  };
  if (values['dry-run'] === true) return await showGarbage(await openConfigured(config), options);
  assertWritable(config);
  return await run(await openConfigured(config, true), options, values.force ?? false);
}

interface GcOptions {
  readonly age: string;
  readonly youngMs: number;
  readonly deleteUntagged: boolean;
  /** Whether bytes stay. */
  readonly onlyLinks: boolean;
  readonly json: boolean;
}

/** What is old enough to go. Manifests without a tag go by --delete-untagged, or else by the rules for retention. */
async function agesIn(opened: ConfiguredStorage, { youngMs, deleteUntagged }: GcOptions) {
  return { youngMs, ...(deleteUntagged ? { untagged: () => youngMs } : await untaggedByRules(opened)) };
}

async function showGarbage(opened: ConfiguredStorage, options: GcOptions): Promise<number> {
  const garbage = new Garbage();
  const ages = await agesIn(opened, options);
  const { versions, printVersions } = await lookAtStorage(opened, ages, garbage);
  if (options.json) printJson({ ...jsonOfGarbage(garbage), ...jsonOfVersions(versions) });
  else {
    printGarbage(garbage, 'could be freed', { ...options, onlyLinks: false });
    printVersions();
    if (options.onlyLinks) console.log(onlyLinksWouldGo(garbage));
    console.log('Nothing was deleted.');
  }
  reportDamaged(garbage.damaged);
  return garbage.damaged.length === 0 ? 0 : 1;
}

async function run(opened: ConfiguredStorage, options: GcOptions, force: boolean): Promise<number> {
  const ages = await agesIn(opened, options);
  const { report, versions, printVersions } = await collect(
    opened,
    { ...ages, onlyLinks: options.onlyLinks },
    force,
  );
  if (options.json) printJson({ ...jsonOfReport(report, options.onlyLinks), ...jsonOfVersions(versions) });
  else {
    printReport(report, options);
    printVersions();
  }
  const damaged = report.garbage?.damaged ?? [];
  reportDamaged(damaged);
  return damaged.length === 0 ? 0 : 1;
}

function printJson(value: object): void {
  console.log(JSON.stringify(value, undefined, 2));
}
