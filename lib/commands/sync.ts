import { attachedTo } from '../protocol/referrers.ts';
import type { TagPattern } from '../access/policy/storage-rules.ts';
import type { Tag } from '../protocol/tags.ts';
import { readOptions, UsageError, type Command } from './command.ts';
import { shownImage } from './copy/image-name.ts';
import { Copies, type AccessOptions } from './copy/open.ts';
import { Run } from './copy/run.ts';
import { readMirrors, type Mirror, type Mirrors } from './sync/mirrors.ts';

export const command: Command = {
  summary: 'mirror images of other registries, as a list says',
  usage: `Usage: stowage sync LIST [--dry-run] [--json] [FILE]

Copies what a list of mirrors names and this registry lacks, or has of another digest: docs/copy.md has its format. Images
that are gone from their source stay.

  LIST       a YAML file
  --dry-run  print what would be copied, and change nothing
  --json     print one object for programs
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

An image that cannot be copied stops no other. The exit code is 1 if there is one.`,
  run: async (args) => {
    const options = { 'dry-run': { type: 'boolean' }, json: { type: 'boolean' } } as const;
    const { values, positionals } = readOptions(args, options);
    const [list, file, more] = positionals;
    if (list === undefined) throw new UsageError('name the LIST of mirrors');
    if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
    const { 'dry-run': dryRun = false, json = false } = values;
    const mirrors = await readMirrors(list);
    const copies = await Copies.open(file, { writes: !dryRun });
    const run = new Run(copies, { dryRun, json });
    for (const mirror of mirrors.images)
      await run.attempt(shownImage(mirror.source), mirror.target.name, async () => {
        await copyMirror(run, copies, mirror, mirrors);
      });
    return await run.end();
  },
};

async function copyMirror(run: Run, copies: Copies, mirror: Mirror, mirrors: Mirrors): Promise<void> {
  const { source: from, target, tags, platforms, referrers } = mirror;
  const source = await copies.source(from, accessOf(from.host, mirrors));
  const job = { source, target: target.name, platforms, referrers };
  if (from.reference?.kind === 'tag')
    await run.copy({ ...job, reference: from.reference, tag: from.reference.tag });
  if (tags === undefined) return;
  const all = await Array.fromAsync(source.tags());
  const knownTags: ReadonlySet<Tag> = new Set(all);
  const isWanted = (tag: Tag) => tags.findLast(({ pattern }) => pattern.matches([tag]))?.excludes === false;
  // What is attached to an image comes along with it.
  const wanted = all.filter((one) => isWanted(one) && attachedTo(one) === undefined);
  if (wanted.length === 0) throw new Error(noneOf(source.title, tags));
  for (const tag of wanted) await run.copy({ ...job, reference: { kind: 'tag', tag }, tag, knownTags });
}

function noneOf(source: string, tags: readonly TagPattern[]): string {
  const patterns = tags.map(({ pattern, excludes }) => `${excludes ? '!' : ''}${pattern.text}`);
  return `no tag of ${source} matches ${patterns.join(', ')}`;
}

function accessOf(host: string | undefined, { registries }: Mirrors): AccessOptions {
  const access = registries.get(host ?? '') ?? { plainHttp: false, privateAddresses: false };
  const remedy = `set privateAddresses: true for ${host ?? ''} below registries if that is meant`;
  return { ...access, remedy };
}
