import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { normalize } from '../../lib/config/variables.ts';
import { readAddress, type AddressParameters } from './address-parameters.ts';
import { ParameterError, ParameterReader, type GivenParameters } from './parameter-reader.ts';

export { ParameterError } from './parameter-reader.ts';

/** Everything that a person may choose of a deployment, validated. docs/deploy/aws.md describes each. */
export interface Parameters extends AddressParameters {
  /** Lower case, 20 characters at most. It is in the names of the stack, its functions, bucket and secrets. */
  readonly stage: string;
  /** Such as `eu-central-1`. */
  readonly region: string;
  readonly storage: 's3' | 'scs';
  /** The name of the bucket to make; undefined for `stowage-<stage>-<account>`. */
  readonly bucket: string | undefined;
  /** The name of a bucket that is there and is not changed; undefined to make one. */
  readonly existingBucket: string | undefined;
  /** Without slashes at either end; empty for the whole bucket. */
  readonly rootDirectory: string;
  /** The bucket of SCS; defined if `storage` is `scs`. */
  readonly scsBucket: string | undefined;
  readonly scsRegion: string | undefined;
  /** Instead of `scsRegion`. */
  readonly scsEndpoint: string | undefined;
  readonly auth: 'policy' | 'htpasswd' | 'none';
  readonly search: 'bucket' | 'mysql';
  /** Of the functions that use MySQL; empty for functions outside of a VPC. */
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
  /** Whether functions deliver events at once, through a queue. */
  readonly eventQueue: boolean;
  readonly alarmEmail: string | undefined;
  /** ARN of the policy that limits all roles of the stack; undefined for none. */
  readonly permissionsBoundary: string | undefined;
  /** Requests per second that the gateway passes on average. */
  readonly throttleRate: number;
  /** Requests that it passes at once. */
  readonly throttleBurst: number;
  readonly logRetentionDays: number;
  /** Further settings of the functions that are not secret, by their names. */
  readonly settings: Readonly<Record<string, string>>;
  /** Changes when a secret does, so that all instances start anew. */
  readonly secretsRevision: string;
  /** With `auth=policy`: the public keys of access tokens, which the deployment derives. Empty before that. */
  readonly publicKeys: readonly string[];
}

export interface ParameterSources {
  readonly stage: string;
  readonly region: string;
  /** `stages/<stage>.yml`; undefined if there is none. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  /** `name=value` of the command line, which come first. A `REGISTRY_*` name is one of `settings`. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** Finds further faults in the settings of the functions. */
  readonly checkSettings?: (parameters: Parameters) => readonly string[];
}

/** Like {@link readParameters}, with the file of the stage below `root`. @throws ParameterError */
export function loadParameters(root: string, sources: Omit<ParameterSources, 'file'>): Parameters {
  const { stage } = sources;
  const path = `stages/${stage}.yml`;
  const text = isStage(stage) ? readOptional(join(root, path)) : undefined;
  return readParameters({ ...sources, file: text === undefined ? undefined : { path, text } });
}

/** Reads all parameters of a stage and collects their faults in one message. @throws ParameterError */
export function readParameters(sources: ParameterSources): Parameters {
  const { stage, region, file, overrides = {}, checkSettings = () => [] } = sources;
  const faults: string[] = [];
  const given = { ...parseFile(file, faults), ...splitOverrides(overrides) };
  const reader = new ParameterReader(mergeSettings(given));
  const wrongStage = stageFault(stage);
  if (wrongStage !== undefined) reader.fault('stage', wrongStage);
  if (!/^[a-z]{2,}(-[a-z]+)+-\d+$/.test(region))
    reader.fault('region', `${JSON.stringify(region.slice(0, 40))} is not a region, such as eu-central-1`);
  const parameters = { stage, region, ...readStore(reader), ...readAccess(reader), ...readRest(reader) };
  const complete = { ...parameters, ...readAddress(reader, region, parameters.settings) };
  reader.refuseUnknown();
  // Those of settings that the parameters make may follow from faults of these.
  const isGiven = (fault: string) => Object.keys(complete.settings).some((name) => fault.includes(name));
  const ofSettings = checkSettings(complete);
  faults.push(...reader.faults, ...(reader.faults.length > 0 ? ofSettings.filter(isGiven) : ofSettings));
  if (faults.length > 0) throw new ParameterError(stage, faults);
  return complete;
}

function isStage(stage: string): boolean {
  return stageFault(stage) === undefined;
}

/** What is wrong with the name of a stage. */
export function stageFault(stage: string): string | undefined {
  if (!/^[a-z][a-z0-9-]{0,19}$/.test(stage))
    return 'must be 1 to 20 lower-case letters, digits and hyphens, and begin with a letter';
  // infra/ci/aws-role.yml: a stage of this name could change these roles.
  if (/^ci(-|$)/.test(stage))
    return 'must not be ci or begin with ci-, as the stacks and roles of CI do (docs/deploy/ci.md)';
  return undefined;
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parseFile(file: ParameterSources['file'], faults: string[]): GivenParameters {
  if (file === undefined) return {};
  try {
    const content: unknown = parse(file.text) ?? {};
    if (typeof content === 'object' && !Array.isArray(content)) return content as GivenParameters;
    faults.push(`${file.path}: is not a map from parameters to values`);
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('\n');
    faults.push(`${file.path}: is not YAML: ${reason}`);
  }
  return {};
}

const settingName = /^(REGISTRY|OTEL|SEARCH|AWS|NODE)_/;

/** Settings of the command line are under `overriddenSettings`. */
function splitOverrides(overrides: Readonly<Record<string, string>>): GivenParameters {
  const entries = Object.entries(overrides);
  const settings = entries.filter(([name]) => settingName.test(name));
  const others = entries.filter(([name]) => !settingName.test(name));
  return {
    ...Object.fromEntries(others),
    ...(settings.length > 0 && { [overridden]: Object.fromEntries(settings) }),
  };
}

const overridden = 'settings of the command line';

function mergeSettings({ [overridden]: settings, ...given }: GivenParameters): GivenParameters {
  return settings === undefined
    ? given
    : { ...given, settings: { ...(given['settings'] as object | undefined), ...settings } };
}

type Part<K extends keyof Parameters> = Pick<Parameters, K>;

/** S3's "General purpose bucket naming rules". A name with a dot has no certificate of its host. */
const bucketForm = {
  pattern: /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
  what: 'the name of a bucket: 3 to 63 lower-case letters, digits and hyphens',
};

function readStore(
  reader: ParameterReader,
): Part<
  'storage' | 'bucket' | 'existingBucket' | 'rootDirectory' | 'scsBucket' | 'scsRegion' | 'scsEndpoint'
> {
  const storage = reader.choice('storage', ['s3', 'scs'], 's3');
  const others = storage === 's3' ? ['scsBucket', 'scsRegion', 'scsEndpoint'] : ['bucket', 'existingBucket'];
  for (const name of others)
    if (reader.has(name)) reader.fault(name, `has no effect with storage=${storage}; remove it`);
  if (storage === 's3' && reader.has('bucket') && reader.has('existingBucket'))
    reader.fault('existingBucket', 'bucket is set as well, which is one to be made; remove one of them');
  if (storage === 'scs' && !reader.has('scsBucket'))
    reader.fault('scsBucket', 'missing; name the bucket of SCS');
  if (storage === 'scs' && reader.has('scsRegion') === reader.has('scsEndpoint'))
    reader.fault(
      'scsRegion',
      'name the region of the bucket here, or its server in scsEndpoint, and not both',
    );
  return {
    storage,
    bucket: reader.text('bucket', bucketForm),
    existingBucket: reader.text('existingBucket', bucketForm),
    // A right names keys below it, where * and ? would match others.
    rootDirectory:
      reader.text('rootDirectory', {
        pattern: /^[\w.-]+(\/[\w.-]+)*$/,
        what: 'a prefix of keys such as team/images',
      }) ?? '',
    scsBucket: reader.text('scsBucket', bucketForm),
    scsRegion: reader.text('scsRegion', { pattern: /^[\w-]+$/, what: 'a region of SCS' }),
    scsEndpoint: reader.text('scsEndpoint', {
      pattern: /^https?:\/\/[\w.-]+(:\d+)?\/?$/,
      what: 'the URL of a server',
    }),
  };
}

function readAccess(
  reader: ParameterReader,
): Part<'auth' | 'search' | 'subnets' | 'securityGroups' | 'secretsRevision' | 'publicKeys'> {
  const subnets = reader.list('subnets', { pattern: /^subnet-[0-9a-f]+$/, what: 'the id of a subnet' });
  const groups = { pattern: /^sg-[0-9a-f]+$/, what: 'the id of a security group' };
  const securityGroups = reader.list('securityGroups', groups);
  if (subnets.length > 0 && securityGroups.length === 0)
    reader.fault('securityGroups', 'missing; functions in subnets need one at least');
  if (subnets.length === 0 && securityGroups.length > 0)
    reader.fault('subnets', 'missing; securityGroups means nothing without subnets');
  const keys = { pattern: /^[\w-]{43}$/, what: 'what stowage token keys prints' };
  return {
    auth: reader.choice('auth', ['policy', 'htpasswd', 'none'], 'policy'),
    search: reader.choice('search', ['bucket', 'mysql'], 'bucket'),
    subnets,
    securityGroups,
    publicKeys: reader.list('publicKeys', keys),
    secretsRevision: reader.text('secretsRevision', { pattern: /^[\w.-]{1,64}$/, what: 'a word' }) ?? '1',
  };
}

/** What CloudWatch Logs takes (API reference of PutRetentionPolicy). */
const retentionDays = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

function readRest(
  reader: ParameterReader,
): Part<
  | 'eventQueue'
  | 'alarmEmail'
  | 'permissionsBoundary'
  | 'throttleRate'
  | 'throttleBurst'
  | 'logRetentionDays'
  | 'settings'
> {
  const email = { pattern: /^[^\s@]+@[^\s@]+\.[^\s@]+$/, what: 'an e-mail address' };
  const logRetentionDays = reader.integer('logRetentionDays', { min: 1, max: 3653, fallback: 30 });
  if (!retentionDays.includes(logRetentionDays))
    reader.fault('logRetentionDays', `${logRetentionDays} is not one of ${retentionDays.join(', ')}`);
  return {
    eventQueue: reader.choice('eventQueue', ['true', 'false'], 'false') === 'true',
    alarmEmail: reader.text('alarmEmail', email),
    permissionsBoundary: reader.text('permissionsBoundary', {
      pattern: /^arn:aws[\w-]*:iam::(\d{12}|aws):policy\/[\w+=,.@/-]+$/,
      what: 'the ARN of a policy of IAM',
    }),
    throttleRate: reader.integer('throttleRate', { min: 1, max: 1_000_000, fallback: 500 }),
    throttleBurst: reader.integer('throttleBurst', { min: 1, max: 1_000_000, fallback: 1000 }),
    logRetentionDays,
    settings: withUsualForms(reader.map('settings')),
  };
}

/** A whole section, such as `REGISTRY_STORAGE_DELETE={enabled: false}`, is its settings, so that all are checked alike. */
function withUsualForms(settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(normalize(settings));
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
