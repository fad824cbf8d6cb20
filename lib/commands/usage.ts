import { loadConfigFile } from '../config/file/load.ts';
import { Usage, type Used } from '../maintenance/collection/usage.ts';
import { count, onlyFile, readOptions, refuseOptionsOfNpm, UsageError, type Command } from './command.ts';
import { jsonOfVersions } from './kept-versions.ts';
import { lookAtStorage, openConfigured, reportDamaged } from './look.ts';
import type { QuotaUsage } from '../maintenance/quotas/quota-count.ts';
import { size } from '../protocol/sizes.ts';
import { tableLines } from './table.ts';

const kinds = ['namespace', 'repository', 'tag', 'quota'] as const;

type Kind = (typeof kinds)[number];

export const command: Command = {
  summary: 'show the bytes that namespaces, repositories, tags and quotas use',
  usage: `Usage: stowage usage [--by namespace|repository|tag|quota] [--json] [FILE]

Shows the bytes in the storage by namespace, repository or tag: its own, which nothing else of that kind uses, and those that
it shares with others. By quota, what the repositories of each quota use together. That is kept for
the registry, which adds what is uploaded later.

  --by KIND  namespace, repository (default), tag or quota
  --json     print JSON
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

What manifests name is kept in the storage, below docker/registry/v2/gc/references/, unless it is read-only: the next run
need not read them again.

The exit code is 1 if a repository is damaged: what its tags use is not complete.`,
  run: async (args) => await usage(args),
};

/** @returns the exit code */
async function usage(args: readonly string[]): Promise<number> {
  refuseOptionsOfNpm('usage', ['by', 'json'], args);
  const { values, positionals } = readOptions(args, { by: { type: 'string' }, json: { type: 'boolean' } });
  const by = readKind(values.by ?? 'repository');
  const file = onlyFile(positionals);
  const usage = new Usage(by === 'tag');
  const { config } = await loadConfigFile('maintenance', file);
  const opened = await openConfigured(config);
  const { versions, printVersions, quotas } = await lookAtStorage(opened, {}, usage);
  const { total, unlinked, damaged } = usage;
  if (values.json === true) {
    const ofQuotas = quotas.map(quotaRow);
    const rows = by === 'quota' ? ofQuotas : rowsOf(usage, by);
    const all = { by, rows, quotas: ofQuotas, unlinked, total, damaged, ...jsonOfVersions(versions) };
    console.log(JSON.stringify(all, undefined, 2));
  } else {
    if (by === 'quota') printQuotas(quotas);
    else printTable(by, rowsOf(usage, by));
    printTotals(usage);
    printVersions();
  }
  reportDamaged(damaged);
  return damaged.length === 0 ? 0 : 1;
}

function readKind(text: string): Kind {
  const kind = kinds.find((kind) => kind === text);
  if (kind !== undefined) return kind;
  throw new UsageError(`--by: ${JSON.stringify(text)} is not ${kinds.join(', ')}`);
}

interface Row extends Used {
  readonly name: string;
  /** Null for all that no tag of the repository reaches. */
  readonly tag?: string | null;
}

function rowsOf(usage: Usage, by: Exclude<Kind, 'quota'>): Row[] {
  switch (by) {
    case 'namespace':
      return [...usage.namespaces].map(([name, used]) => ({ name, ...used }));
    case 'repository':
      return [...usage.repositories];
    case 'tag':
      return usage.byTag.map(({ repository, tag = null, own, shared }) => ({
        name: repository,
        tag,
        own,
        shared,
      }));
  }
}

/** The largest first. */
function printTable(by: Exclude<Kind, 'quota'>, rows: readonly Row[]): void {
  const sorted = [...rows].sort((a, b) => b.own + b.shared - (a.own + a.shared));
  const title = by === 'tag' ? 'image' : by;
  const lines = [
    [title, 'own', 'shared', 'all'],
    ...sorted.map(({ name, tag, own, shared }) => [
      tag === undefined ? name : `${name}${tag === null ? ', no tag' : `:${tag}`}`,
      size(own),
      size(shared),
      size(own + shared),
    ]),
  ];
  for (const line of tableLines(lines, true)) console.log(line);
}

function quotaRow({ repositories, bytes, used }: QuotaUsage) {
  return { repositories, quota: bytes, used };
}

/** In the order of the rules. */
function printQuotas(quotas: readonly QuotaUsage[]): void {
  if (quotas.length === 0) console.log('There are no quotas.');
  const lines = [
    ['quota of', 'used', 'quota', 'share'],
    ...quotas.map(({ repositories, bytes, used }) => [
      repositories.join(', '),
      size(used),
      size(bytes),
      `${Math.round((100 * used) / bytes)} %`,
    ]),
  ];
  if (quotas.length > 0) for (const line of tableLines(lines, true)) console.log(line);
}

function printTotals({ total, unlinked }: Usage): void {
  console.log(
    `\n${size(total.bytes)} in ${count(total.blobs, 'blob')} and ` +
      count(total.repositories, 'repository', 'repositories'),
  );
  if (unlinked.blobs > 0)
    console.log(`${size(unlinked.bytes)} of it in ${count(unlinked.blobs, 'blob')} that no repository has`);
}
