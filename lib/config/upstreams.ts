import { repositoryPatternFault } from '../access/policy/patterns.ts';
import type { Platform } from '../protocol/manifest-fields.ts';
import { isRepositoryName } from '../protocol/names.ts';
import type { Fields } from './entries.ts';
import { readEntries } from './entries.ts';
import { parsePlatform } from './platforms.ts';
import type { Settings } from './settings.ts';

/** Another registry, of which repositories here are caches (docs/cache.md). */
export interface UpstreamConfig {
  /** What the names of its repositories begin with here, such as `docker-hub/`; empty if the whole registry is its cache. */
  readonly prefix: string;
  /** The upstream's base URL, without a trailing slash. */
  readonly url: string;
  /** Whether the upstream has the names without the prefix. */
  readonly stripPrefix: boolean;
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
  /** Patterns of the upstream's names, as in a policy; empty for all. */
  readonly repositories: readonly string[];
  /** Empty for all. */
  readonly platforms: readonly Platform[];
  /** Milliseconds after which the upstream is asked again where a tag points. */
  readonly freshnessMs: number;
  /** Milliseconds after its last use when an image may go, of a whole registry; undefined for never. */
  readonly ttlMs: number | undefined;
  /** The host in `?ns=` for which pulls come here, beside those by the prefix. */
  readonly namespace: string;
  /** Whether its host may have an address that is not public. */
  readonly privateAddresses: boolean;
  /** Where the last is said, for messages. */
  readonly setting: string;
}

const prefix = 'REGISTRY_PROXY';
const remoteSetting = `${prefix}_REMOTEURL`;
export const listSetting = `${prefix}_UPSTREAMS`;

export const copySetting = `${prefix}_COPYFUNCTION`;

/** The credentials of an upstream that the whole registry is a cache of. */
export const whole = { user: `${prefix}_USERNAME`, password: `${prefix}_PASSWORD` };

const defaultFreshness = '10m';
const hourMs = 3_600_000;

/** `proxy.remoteurl` and its neighbours are distribution's; `proxy.upstreams` is not. */
export function readUpstreams(settings: Settings): readonly UpstreamConfig[] {
  const only = readWhole(settings);
  const upstreams = readEntries(
    settings,
    listSetting,
    { what: 'upstreams', example: '[{prefix: docker-hub/**, url: "https://registry-1.docker.io"}]' },
    readUpstream,
  );
  if (only !== undefined && upstreams.length > 0)
    settings.fault(
      `${listSetting}: with ${remoteSetting} the whole registry is a cache; move that to an entry with a prefix of its own, and remove it`,
    );
  assertDistinct(
    settings,
    upstreams,
    ({ prefix: one }) => one,
    (one) => `the prefix ${one}**`,
  );
  assertDistinct(
    settings,
    upstreams,
    ({ namespace }) => namespace,
    (one) => `the ns ${one}`,
  );
  return only === undefined ? upstreams : [only];
}

/** The name or ARN of the function of Lambda that copies blobs from upstreams. */
export function readCopyFunction(settings: Settings, isServer: boolean): string | undefined {
  const name = settings.text(copySetting);
  if (name === undefined) return undefined;
  if (isServer)
    settings.fault(`${copySetting}: only functions need it, since a server copies itself; remove it`);
  if (!/^(arn:aws[\w-]*:lambda:[a-z0-9-]+:\d{12}:function:)?[\w-]{1,64}$/.test(name))
    settings.fault(
      `${copySetting}: must be the name or ARN of a function of Lambda, such as stowage-production-copy`,
    );
  return name;
}

function assertDistinct(
  settings: Settings,
  upstreams: readonly UpstreamConfig[],
  of: (upstream: UpstreamConfig) => string,
  shown: (value: string) => string,
): void {
  const values = upstreams.map(of);
  const [twice] = values.filter((value, i) => value !== '' && values.indexOf(value) < i);
  if (twice !== undefined)
    settings.fault(`${listSetting}: two entries have ${shown(twice)}; give one of them another`);
}

function readWhole(settings: Settings): UpstreamConfig | undefined {
  const text = settings.text(remoteSetting);
  const user = settings.text(whole.user);
  const password = settings.text(whole.password);
  const ttlMs = settings.duration(`${prefix}_TTL`, {
    min: 0,
    max: 10 * 365 * 24 * hourMs,
    fallback: 168 * hourMs,
  });
  const isInsecure = settings.flag(`${prefix}_INSECURE`, false);
  const privateAddresses = settings.flag(`${prefix}_PRIVATEADDRESSES`, false);
  if (text === undefined) {
    for (const name of ['USERNAME', 'PASSWORD', 'TTL', 'INSECURE', 'PRIVATEADDRESSES'])
      if (settings.text(`${prefix}_${name}`) !== undefined)
        settings.fault(`${prefix}_${name}: has no effect without ${remoteSetting}; set that, or remove it`);
    return undefined;
  }
  const fault = urlFault(text, isInsecure, `${prefix}_INSECURE=true`);
  if (fault !== undefined) settings.fault(`${remoteSetting}: ${fault}`);
  if ((user === undefined) !== (password === undefined))
    settings.fault(`${user === undefined ? whole.user : whole.password}: missing; the other one is set`);
  return {
    prefix: '',
    url: withoutSlash(text),
    stripPrefix: true,
    credentials: user === undefined || password === undefined ? undefined : { user, password },
    repositories: [],
    platforms: [],
    freshnessMs: 10 * 60_000,
    ttlMs: ttlMs === 0 ? undefined : ttlMs,
    // All names are its own, whatever the namespace.
    namespace: '',
    privateAddresses,
    setting: `${prefix}_PRIVATEADDRESSES=true`,
  };
}

function readUpstream(fields: Fields): UpstreamConfig {
  const pattern = fields.text(
    'prefix',
    (text) => text.endsWith('/**') && isRepositoryName(text.slice(0, -3)),
    'docker-hub/**',
  );
  const isInsecure = fields.flag('insecure');
  const url = fields.text('url', (text) => text !== '', 'https://registry-1.docker.io');
  const fault = url === '' ? undefined : urlFault(url, isInsecure, 'insecure: true');
  if (fault !== undefined) fields.faults.push(`url ${fault}`);
  return {
    prefix: pattern.slice(0, -2),
    url: withoutSlash(url),
    stripPrefix: readStripPrefix(fields),
    credentials: readCredentials(fields),
    repositories:
      fields.texts('repositories', (text) => repositoryPatternFault(text, { ofUser: false })) ?? [],
    platforms: readPlatformList(fields),
    freshnessMs: fields.duration('freshness', defaultFreshness, { min: 1_000, max: 30 * 24 * hourMs }),
    // Rules for retention say it.
    ttlMs: undefined,
    namespace: readNamespace(fields, url),
    privateAddresses: fields.flag('privateaddresses'),
    setting: `privateaddresses: true in the entry of ${pattern}`,
  };
}

/** True by default, unlike other flags. */
function readStripPrefix(fields: Fields): boolean {
  const value = fields.take('stripprefix') ?? true;
  if (typeof value !== 'boolean') fields.faults.push('stripprefix must be true or false');
  return value !== false;
}

function readCredentials(fields: Fields): UpstreamConfig['credentials'] {
  const [user, password] = ['username', 'password'].map((name) => {
    const value = fields.take(name) ?? undefined;
    // A number in YAML may be a password.
    return typeof value === 'number' ? String(value) : value;
  });
  if (user === undefined && password === undefined) return undefined;
  if (
    typeof user === 'string' &&
    user !== '' &&
    !user.includes(':') &&
    typeof password === 'string' &&
    password !== ''
  )
    return { user, password };
  fields.faults.push('username and password must both be texts, and the username without a colon');
  return undefined;
}

function readPlatformList(fields: Fields): readonly Platform[] {
  const texts =
    fields.texts('platforms', (text) =>
      parsePlatform(text) === undefined ? 'must have platforms such as linux/amd64' : undefined,
    ) ?? [];
  return texts.flatMap((text) => parsePlatform(text) ?? []);
}

/** By default that of the images which clients name without this registry. */
function readNamespace(fields: Fields, url: string): string {
  const host = URL.parse(url)?.host ?? '';
  const own = host === 'registry-1.docker.io' ? 'docker.io' : host;
  if (fields.take('ns') === undefined) return own;
  return fields.text('ns', (text) => /^[a-z0-9.-]{1,253}(?::\d{1,5})?$/.test(text), 'docker.io');
}

/** Never repeats the URL, which may have a password. */
function urlFault(text: string, isInsecure: boolean, remedy: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    return 'must be the base URL of a registry, such as https://registry-1.docker.io';
  if (url.pathname !== '/') return 'must have no path';
  if (url.username !== '' || url.password !== '')
    return 'must have no user or password; set username and password';
  if (url.protocol === 'http:' && !isInsecure)
    return `must begin with https://, since anybody on the way could change what comes; set ${remedy} if that is meant`;
  return undefined;
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, '');
}
