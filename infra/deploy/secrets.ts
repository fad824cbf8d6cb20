import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parseEntries } from '../../lib/access/htpasswd/entries.ts';
import { publicKeyText } from '../../lib/access/tokens/keys.ts';
import { passwordLine } from '../../lib/commands/htpasswd.ts';
import { minSecretLength } from '../../lib/config/auth.ts';
import { parseMysqlDsn } from '../../lib/search/mysql/dsn.ts';
import { functionNames } from '../gateway.ts';
import type { Parameters } from '../stack/parameters.ts';
import { secretsOf, type SecretKind } from '../stack/secrets.ts';
import { planEventSecrets } from './event-secrets.ts';
import { rotate, type Values } from './rotation.ts';
import type { StoredSecret } from './secret-store.ts';
import { planUpstreamSecrets } from './upstream-secrets.ts';

/** All that a stage may have. */
export const secretKinds: readonly SecretKind[] = [
  'http',
  'token',
  'storage',
  'search',
  'events',
  'upstreams',
  'htpasswd',
];

export type StoredSecrets = Readonly<Record<SecretKind, StoredSecret>>;

/** A value of a secret. */
export interface SecretVersion {
  readonly text: string;
  /** A UUID, which is no secret. */
  readonly version: string;
}

/** What happens to one secret. */
export interface PlannedSecret {
  readonly kind: SecretKind;
  /** What is deployed, one after the other; more than one only when a secret that signs is changed. */
  readonly rounds: readonly [SecretVersion, ...SecretVersion[]];
  /** The version that is there. */
  readonly storedVersion: string | undefined;
  /** For the person who deploys; undefined if nothing changes. */
  readonly note: string | undefined;
}

/** The user that a first deployment makes. */
export interface FirstUser {
  readonly name: string;
  readonly password: string;
}

export interface SecretsPlan {
  readonly secrets: readonly PlannedSecret[];
  readonly user: FirstUser | undefined;
  /** What is wrong or missing, with the remedies. */
  readonly faults: readonly string[];
}

export interface SecretsInput {
  readonly parameters: Parameters;
  readonly stored: StoredSecrets;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isDeployed: boolean;
}

/** Those that a function reads. */
export function neededSecrets(parameters: SecretsInput['parameters']): readonly SecretKind[] {
  const read = functionNames.flatMap((name) => secretsOf(name, parameters));
  return secretKinds.filter((kind) => read.includes(kind));
}

/** Decides what becomes of each secret, without changing any. */
export async function planSecrets(input: SecretsInput): Promise<SecretsPlan> {
  const faults: string[] = [];
  const given = readGiven(input.environment);
  const secrets: PlannedSecret[] = [];
  let user: FirstUser | undefined;
  for (const kind of neededSecrets(input.parameters)) {
    const stored = input.stored[kind];
    if (kind === 'htpasswd') {
      const planned = await planPasswords(stored, given, faults);
      secrets.push(planned.secret);
      ({ user } = planned);
    } else if (kind === 'http' || kind === 'token')
      secrets.push(planSigning(kind, stored, given, input, faults));
    else if (kind === 'upstreams') secrets.push(planUpstreams(stored, given, input, faults));
    else if (kind === 'events') secrets.push(planEvents(stored, given, input, faults));
    else secrets.push(planGiven(kind, stored, given, faults));
  }
  checkDifferent(secrets, faults);
  return { secrets, user, faults };
}

/** As in the registry, an empty value counts as not set. */
function readGiven(environment: SecretsInput['environment']): Values {
  const entries = Object.entries(environment).map(([name, value]) => [name, value?.trim() ?? ''] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}

const signing = { http: 'REGISTRY_HTTP_SECRET', token: 'REGISTRY_AUTH_POLICY_SECRET' } as const;

function planSigning(
  kind: keyof typeof signing,
  stored: StoredSecret,
  given: Values,
  { isDeployed }: SecretsInput,
  faults: string[],
): PlannedSecret {
  const setting = signing[kind];
  for (const name of [setting, `${setting}_PREVIOUS`])
    if (given[name] !== undefined && given[name].length < minSecretLength)
      faults.push(
        `${name}: must have ${minSecretLength} characters at least, such as from: openssl rand -hex 32`,
      );
  const values = valuesOf(stored);
  if (stored.state !== 'stored' || values?.[setting] === undefined) {
    const { [setting]: own, [`${setting}_PREVIOUS`]: previous } = given;
    const made = {
      [setting]: own ?? randomBytes(32).toString('hex'),
      ...(previous !== undefined && { [`${setting}_PREVIOUS`]: previous }),
    };
    return newSecret(
      kind,
      made,
      `${setting} is ${own === undefined ? 'generated' : 'taken from the environment'}`,
    );
  }
  const { changedAt } = stored;
  const { rounds, note } = rotate({
    setting,
    stored: values,
    changedAt,
    given,
    isDeployed,
    expires: kind === 'http',
  });
  const [first, ...others] = rounds.map((round) => versionOf(stored, round));
  return { kind, rounds: [first ?? stored, ...others], storedVersion: stored.version, note };
}

/** Values that only the environment can have. */
const givenOnly = {
  storage: ['REGISTRY_STORAGE_SCS_ACCESSKEY', 'REGISTRY_STORAGE_SCS_SECRETKEY'],
  search: ['SEARCH_BACKEND_MYSQL'],
} as const;

function planGiven(
  kind: keyof typeof givenOnly,
  stored: StoredSecret,
  given: Values,
  faults: string[],
): PlannedSecret {
  const before = valuesOf(stored) ?? {};
  const names = givenOnly[kind];
  const own = Object.fromEntries(
    names.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
  );
  const values = { ...before, ...own };
  for (const name of names) {
    const fault = faultOf(name, values[name]);
    // What a secret that is being restored has is not known yet.
    if (fault !== undefined && stored.state !== 'deleted') faults.push(`${name}: ${fault}`);
  }
  const changed = names.filter((name) => values[name] !== before[name]);
  if (stored.state !== 'stored')
    return newSecret(kind, values, `${names.join(' and ')} are taken from the environment`);
  const note =
    changed.length === 0 ? undefined : `${changed.join(' and ')} changes to that of the environment`;
  return { kind, rounds: [versionOf(stored, values)], storedVersion: stored.version, note };
}

function faultOf(name: string, value: string | undefined): string | undefined {
  if (value === undefined)
    return 'missing; set it in the environment of the first deployment, which keeps it';
  if (name === 'SEARCH_BACKEND_MYSQL') return parseMysqlDsn(value).faults[0];
  return /^[\x21-\x7e]+$/.test(value) ? undefined : 'must be ASCII without spaces';
}

function planEvents(
  stored: StoredSecret,
  given: Values,
  { parameters }: SecretsInput,
  faults: string[],
): PlannedSecret {
  const planned = planEventSecrets(parameters, valuesOf(stored) ?? {}, given);
  faults.push(...planned.faults);
  if (stored.state !== 'stored') return newSecret('events', planned.values, planned.note ?? '');
  const version = versionOf(stored, planned.values);
  return { kind: 'events', rounds: [version], storedVersion: stored.version, note: planned.note };
}

function planUpstreams(
  stored: StoredSecret,
  given: Values,
  { parameters }: SecretsInput,
  faults: string[],
): PlannedSecret {
  const planned = planUpstreamSecrets(parameters, valuesOf(stored) ?? {}, given);
  // What a secret that is being restored has is not known yet.
  if (stored.state !== 'deleted') faults.push(...planned.faults);
  if (stored.state !== 'stored') return newSecret('upstreams', planned.values, planned.note ?? '');
  const version = versionOf(stored, planned.values);
  return { kind: 'upstreams', rounds: [version], storedVersion: stored.version, note: planned.note };
}

const passwordsSetting = 'REGISTRY_AUTH_HTPASSWD_CONTENT';

/** Name of the user that a first deployment makes; the policy makes it the administrator. */
export const firstUserName = 'admin';

async function planPasswords(
  stored: StoredSecret,
  given: Values,
  faults: string[],
): Promise<{ secret: PlannedSecret; user: FirstUser | undefined }> {
  const text = given[passwordsSetting];
  if (text !== undefined) {
    try {
      parseEntries(text, passwordsSetting);
    } catch (error) {
      faults.push((error as Error).message.replaceAll('\n', '\n  '));
    }
    if (stored.state === 'stored') {
      const version = stored.text.trim() === text ? stored : { text, version: randomUUID() };
      const note = version === stored ? undefined : `the users are those of ${passwordsSetting}`;
      return {
        secret: { kind: 'htpasswd', rounds: [version], storedVersion: stored.version, note },
        user: undefined,
      };
    }
    return {
      secret: newSecret('htpasswd', text, `the users are those of ${passwordsSetting}`),
      user: undefined,
    };
  }
  if (stored.state === 'stored')
    return {
      secret: { kind: 'htpasswd', rounds: [stored], storedVersion: stored.version, note: undefined },
      user: undefined,
    };
  const user = { name: firstUserName, password: randomBytes(18).toString('base64url') };
  const line = await passwordLine(user.name, user.password);
  const note = `a user ${user.name} with a generated password`;
  return { secret: newSecret('htpasswd', `${line}\n`, note), user };
}

function newSecret(kind: SecretKind, value: Values | string, note: string): PlannedSecret {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { kind, rounds: [{ text, version: randomUUID() }], storedVersion: undefined, note };
}

/** The stored version if it has these values, otherwise a new one. */
function versionOf(stored: StoredSecret & { state: 'stored' }, values: Values): SecretVersion {
  return isDeepStrictEqual(valuesOf(stored), values)
    ? stored
    : { text: JSON.stringify(values), version: randomUUID() };
}

/** Undefined if it is not stored, or no JSON object of texts. */
function valuesOf(secret: StoredSecret): Values | undefined {
  if (secret.state !== 'stored') return undefined;
  return parseValues(secret.text);
}

function parseValues(text: string): Values {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return {};
    const entries = Object.entries(value).filter(([, one]) => typeof one === 'string' && one !== '');
    return Object.fromEntries(entries);
  } catch {
    return {};
  }
}

/** Processes that have the one may not sign tokens. */
function checkDifferent(secrets: readonly PlannedSecret[], faults: string[]): void {
  const [http, token] = (['http', 'token'] as const).map((kind) => {
    const text = secrets.find((one) => one.kind === kind)?.rounds.at(-1)?.text;
    return text === undefined ? undefined : parseValues(text)[signing[kind]];
  });
  if (http !== undefined && http === token)
    faults.push(
      'REGISTRY_AUTH_POLICY_SECRET: must not be the REGISTRY_HTTP_SECRET; take another from: openssl rand -hex 32',
    );
}

/** How many deployments it takes until all secrets are in force. */
export function roundsOf({ secrets }: SecretsPlan): number {
  return Math.max(1, ...secrets.map(({ rounds }) => rounds.length));
}

/** The value of a secret in a round, counted from 0. */
export function versionIn({ rounds }: PlannedSecret, round: number): SecretVersion {
  return rounds[Math.min(round, rounds.length - 1)] ?? rounds[0];
}

/** The signing secret of tokens in a round, first, and the one before or after it. */
export function tokenSecrets({ secrets }: SecretsPlan, round: number): readonly string[] {
  const secret = secrets.find(({ kind }) => kind === 'token');
  if (secret === undefined) return [];
  const values = parseValues(versionIn(secret, round).text);
  return [values[signing.token], values[`${signing.token}_PREVIOUS`]].filter((one) => one !== undefined);
}

/** Parameters of the stack that follow from the secrets of a round. */
export function derivedParameters(plan: SecretsPlan, round: number): Readonly<Record<string, string>> {
  const publicKeys = tokenSecrets(plan, round).map(publicKeyText).join(',');
  // Functions read the password file again by themselves.
  const versions = plan.secrets
    .filter(({ kind }) => kind !== 'htpasswd')
    .map((secret) => `${secret.kind}=${versionIn(secret, round).version}`);
  const secretsRevision = createHash('sha256').update(versions.join('\n')).digest('hex').slice(0, 16);
  return { secretsRevision, ...(publicKeys !== '' && { publicKeys }) };
}
