import { registryAs } from '../operator-events.ts';
import { shownRule, type RetentionRule } from '../access/policy/storage-rules.ts';
import { immutableTagsOf, openRules } from '../compose-rules.ts';
import { didYouMean } from '../config/did-you-mean.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { applyRetention } from '../retention/apply.ts';
import { cachesOf } from '../retention/cache-sizes.ts';
import { Plan, type RetentionContext } from '../retention/plan.ts';
import { recordPlanned } from '../retention/planned.ts';
import { count, readOptions, reasonOf, refuseOptionsOfNpm, UsageError, type Command } from './command.ts';
import { printerFor, shownPlanned, type Printer } from './retention/report.ts';
import { logChange, openStorage, type Opened } from './undo/open.ts';

export const command: Command = {
  summary: 'show which tags the rules for retention remove, and remove them',
  usage: `Usage: stowage retention plan [--json] [FILE]
       stowage retention apply [FILE]

Follows the rules for retention in the policy, or in the file of REGISTRY_RETENTION_PATH.

  plan   print each tag with the rule that keeps or removes it, and remove nothing. The storage keeps that these rules were
         planned, unless it is read-only.
  apply  remove the tags that no rule keeps. Rules that were not planned as they are now are refused by name, and the others
         applied. stowage restore brings a tag back.

  --json  print JSON
  FILE    a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

The exit code is 1 if a rule was refused, or something could not be read or removed.`,
  run: async (args) => await run(args),
};

const subcommands = ['plan', 'apply'] as const;

/** @returns the exit code */
async function run(args: readonly string[]): Promise<number> {
  refuseOptionsOfNpm('retention', ['json'], args);
  const { values, positionals } = readOptions(args, { json: { type: 'boolean' } });
  const [first, file, more] = positionals;
  const subcommand = subcommands.find((name) => name === first);
  if (subcommand === undefined) {
    const hint = first === undefined ? undefined : didYouMean(first, subcommands);
    const given = first === undefined ? 'say what to do' : `${JSON.stringify(first)} is not a known argument`;
    throw new UsageError(`${given}; ${hint ?? 'it is plan or apply'}`);
  }
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  if (subcommand === 'apply' && values.json === true)
    throw new UsageError('--json is an option of stowage retention plan');
  return subcommand === 'plan' ? await plan(file, values.json === true) : await apply(file);
}

/** @throws Error if there are no rules */
async function contextOf(opened: Opened): Promise<RetentionContext> {
  const source = await openRules(opened.config, opened.store);
  const rules = (await source?.current())?.retention ?? [];
  if (rules.length === 0)
    throw new Error(
      'there are no rules for retention; write them into the policy, or into a file that REGISTRY_RETENTION_PATH names (docs/retention.md)',
    );
  const immutable = await immutableTagsOf(opened.config, opened.store);
  const caches = cachesOf(opened.config.upstreams, opened.registry.catalog);
  return { store: opened.store, rules, immutable, keeps: !opened.config.readOnly, caches };
}

async function plan(file: string | undefined, isJson: boolean): Promise<number> {
  const opened = await openStorage(file, { writes: 'unless read-only' });
  const context = await contextOf(opened);
  const { store, rules } = context;
  const printer = printerFor(isJson, rules);
  const open = await Plan.open(context);
  for await (const name of opened.registry.catalog.all()) {
    const rule = open.ruleFor(name);
    if (rule === undefined) printer.withoutRule(name);
    else await print(printer, open, name, rule);
  }
  printer.end();
  if (opened.config.readOnly)
    console.error('The storage is read-only, so it does not keep that these rules were planned.');
  else await recordPlanned(store, rules);
  return 0;
}

async function print(printer: Printer, plan: Plan, name: RepositoryName, rule: RetentionRule): Promise<void> {
  const tags = await plan.of(name, rule);
  for (const tag of tags) printer.tag(tag);
  const gone = new Set(tags.filter(({ removes }) => removes).map(({ tag }) => tag));
  for (const manifest of await plan.untagged(name, rule, gone)) printer.manifest(manifest);
}

async function apply(file: string | undefined): Promise<number> {
  const opened = await openStorage(file, { writes: true });
  const context = await contextOf(opened);
  const { removed, evicted, changed, failed, unplanned } = await applyRetention({
    ...context,
    registry: registryAs(opened.registry, opened.outbox, 'retention apply'),
    onRemoved: (one) => {
      const { repository, rule, reason } = one;
      const what = 'tag' in one ? { tag: one.tag } : { digest: one.digest };
      logChange(opened, { command: 'retention apply', repository, ...what, rule: shownRule(rule) });
      console.log(`removed ${shownPlanned(one)}: ${shownRule(rule)}: ${reason}`);
    },
    onFailure: (what, error) => {
      console.error(`${what} could not be looked at or removed: ${reasonOf(error as Error)}`);
    },
  });
  const gone = [
    ...(removed === 0 ? [] : [count(removed, 'tag')]),
    ...(evicted === 0 ? [] : [`${count(evicted, 'manifest')} without a tag`]),
  ];
  console.log(gone.length === 0 ? 'removed nothing' : `removed ${gone.join(' and ')}`);
  if (changed > 0) console.log(`left ${count(changed, 'tag')} that changed meanwhile`);
  refuse(unplanned);
  return failed > 0 || unplanned.length > 0 ? 1 : 0;
}

function refuse(unplanned: readonly RetentionRule[]): void {
  for (const rule of unplanned)
    console.error(
      `${shownRule(rule)} was not planned as it is now, or as the repositories of the rules before it are, so nothing was removed by it: ` +
        'look at stowage retention plan first',
    );
}
