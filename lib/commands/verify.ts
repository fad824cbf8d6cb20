import { createMaintenance } from '../compose.ts';
import { assertWritable, type Config } from '../config/config.ts';
import { parseDuration } from '../config/durations.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { describeStorage } from '../config/storage.ts';
import { VerifyCounts, type Sample, type VerifyOptions } from '../maintenance/verify/inspection.ts';
import type { Repair } from '../maintenance/verify/findings.ts';
import { applyRepair } from '../maintenance/verify/repair.ts';
import { unknownRepositories, verify } from '../maintenance/verify/verify.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { MountHints } from '../registry/mount-hints.ts';
import type { ObjectStore } from '../storage/store.ts';
import {
  assertFolderExists,
  onDamaged,
  readOptions,
  refuseOptionsOfNpm,
  UsageError,
  type Command,
} from './command.ts';
import { jsonReport, textReport, type Outcome } from './verify/report.ts';
import { showProgress } from './verify/progress.ts';

export const command: Command = {
  summary: 'find what is damaged or missing in the storage',
  usage: `Usage: stowage verify [OPTION]… [REPOSITORY]…

Reads the storage and lists what is damaged, missing, or leads nowhere. Exits with 0 if nothing is damaged, with 1 if
something is, and with 2 if that cannot be told. Pushes may go on.

  --quick           hash no blobs; manifests are always read and hashed
  --sample SHARE    hash only some blobs, by chance: a share such as 5%, or a number
  --prefix HEX      only hash the blobs whose digest begins with these digits
  --mount-hints     also check where blobs say that they can be mounted from; needs REGISTRY_HTTP_SECRET
  --repair          mend what can be mended without harm
  --dry-run         with --repair, print what it would mend, and change nothing
  --settle TIME     how long a push may take between two writes, such as 30s (default 1m)
  --json            print a line of JSON for each finding
  --config FILE     a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH
  REPOSITORY        check only these repositories and their blobs`,
  failureCode: 2,
  run: async (args) => await run(readVerifyOptions(args)),
};

/** Most blobs of a sample, whose digests are kept. */
const maxSampled = 100_000;

interface Options extends Pick<VerifyOptions, 'prefix' | 'settleMs'> {
  readonly repositories: readonly RepositoryName[];
  readonly sample: Sample;
  readonly hints: boolean;
  readonly repair: 'none' | 'dry run' | 'run';
  readonly json: boolean;
  readonly file: string | undefined;
}

/** @returns the exit code */
async function run(options: Options): Promise<number> {
  const { config } = await loadConfigFile('maintenance', options.file);
  const changes = options.repair === 'run';
  if (changes) assertWritable(config);
  assertFolderExists(config.storage);
  const mountHints = options.hints ? { mountHints: readMountHints(config) } : {};
  const { store } = await createMaintenance({ ...config, readOnly: !changes }, onDamaged);
  await assertKnown(store, options.repositories);
  console.error(`verifying ${describeStorage(config.storage)}`);
  const counts = new VerifyCounts();
  const progress = showProgress(counts);
  const report = options.json ? jsonReport(counts) : textReport(counts);
  try {
    const { requiredPlatforms, upstreams } = config;
    const isCache = (name: RepositoryName) => upstreams.some(({ prefix }) => name.startsWith(prefix));
    const checked = { ...options, ...mountHints, requiredPlatforms, isCache, counts };
    for await (const finding of verify(store, checked)) {
      const outcome = await mend(store, finding.repair, options.repair);
      progress.clear();
      report.add(finding, outcome);
    }
  } finally {
    progress.stop();
  }
  report.end();
  return report.damage === 0 ? 0 : 1;
}

async function mend(
  store: ObjectStore,
  repair: Repair | undefined,
  wanted: Options['repair'],
): Promise<Outcome> {
  if (repair === undefined || wanted === 'none') return 'found';
  if (wanted === 'dry run') return 'would repair';
  return (await applyRepair(store, repair)) ? 'repaired' : 'changed';
}

/** A mistyped name must not look like a repository that is whole. */
async function assertKnown(store: ObjectStore, names: readonly RepositoryName[]): Promise<void> {
  const unknown = await unknownRepositories(store, names);
  if (unknown.length > 0) throw new Error(`there is no repository ${unknown.join(', ')} in the storage`);
}

/** Without the secret of the registry, no hint could be read. */
function readMountHints({ secrets, secretIsGenerated }: Config): MountHints {
  if (secretIsGenerated)
    throw new UsageError('--mount-hints needs REGISTRY_HTTP_SECRET, by which they are encrypted');
  return new MountHints(secrets);
}

function readVerifyOptions(args: readonly string[]): Options {
  refuseOptionsOfNpm('verify', ['repair', 'dry-run', 'quick', 'json'], args);
  const { values, positionals } = readOptions(args, {
    quick: { type: 'boolean' },
    sample: { type: 'string' },
    prefix: { type: 'string' },
    'mount-hints': { type: 'boolean' },
    repair: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
    settle: { type: 'string' },
    json: { type: 'boolean' },
    config: { type: 'string' },
  });
  const { quick = false, sample, prefix, repair = false, 'dry-run': dryRun = false, settle, config } = values;
  if (quick && sample !== undefined) throw new UsageError('--quick hashes no blobs, so leave out --sample');
  if (dryRun && !repair)
    throw new UsageError('--dry-run needs --repair; without --repair nothing is changed');
  const repositories = [...new Set(positionals.map(readRepository))];
  const hints = values['mount-hints'] ?? false;
  if (prefix !== undefined && (quick || repair || hints || repositories.length > 0))
    throw new UsageError('--prefix only hashes blobs, so it goes with --sample, --json and --config alone');
  if (hints && repositories.length > 0)
    throw new UsageError('--mount-hints checks all blobs, so leave out the repositories');
  return {
    repositories,
    sample: quick ? { kind: 'none' } : sample === undefined ? { kind: 'all' } : readSample(sample),
    ...(prefix === undefined ? {} : { prefix: readPrefix(prefix) }),
    hints,
    repair: repair ? (dryRun ? 'dry run' : 'run') : 'none',
    ...(settle === undefined ? {} : { settleMs: readSettle(settle) }),
    json: values.json ?? false,
    file: config,
  };
}

function readRepository(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw new UsageError(`${JSON.stringify(text)} is not the name of a repository`);
}

function readSample(text: string): Sample {
  const [, number = '', percent] = /^(\d{1,9}(?:\.\d{1,6})?)(%?)$/.exec(text) ?? [];
  const value = Number(number);
  if (percent === '%' && value > 0 && value <= 100) return { kind: 'share', share: value / 100 };
  if (percent === '' && Number.isSafeInteger(value) && value > 0 && value <= maxSampled)
    return { kind: 'number', number: value };
  throw new UsageError(
    `--sample: ${JSON.stringify(text)} is neither a share such as 5% nor a number from 1 to ${maxSampled}`,
  );
}

function readPrefix(text: string): string {
  if (/^[0-9a-f]{1,64}$/.test(text)) return text;
  throw new UsageError(`--prefix: ${JSON.stringify(text)} is not the beginning of a hexadecimal digest`);
}

function readSettle(text: string): number {
  const settleMs = parseDuration(text);
  if (settleMs !== undefined) return settleMs;
  throw new UsageError(`--settle: ${JSON.stringify(text)} is not a duration such as 30s or 1m`);
}
