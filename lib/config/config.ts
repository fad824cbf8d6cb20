import { randomBytes } from 'node:crypto';
import { Settings, type Environment } from './settings.ts';
import { minSecretLength, readAuth, type AuthConfig } from './auth.ts';
import { readCloudWatch } from './cloudwatch.ts';
import { readCollection, type CollectionConfig } from './collection.ts';
import { readDebug, type DebugConfig } from './debug.ts';
import { readHealth, type HealthConfig } from './health.ts';
import { readLog, type LogConfig } from './log.ts';
import { readNotifications, type NotificationsConfig } from './notifications.ts';
import { readTracing, type TracingConfig } from './tracing.ts';
import { readPlatforms } from './platforms.ts';
import { readTrustedProxies, type Subnet } from './proxies.ts';
import type { RequiredPlatforms } from '../registry/manifests/required-platforms.ts';
import type { PolicyLocation } from './policy-location.ts';
import { readRetention } from './retention.ts';
import { readSearch, type SearchConfig } from './search.ts';
import { readCopyFunction, readUpstreams, type UpstreamConfig } from './upstreams.ts';
import { readStorage, type StorageConfig } from './storage.ts';
import { readWorkerNumber, readWorkers } from './workers.ts';
import {
  describeAddress,
  isLocal,
  prefixPattern,
  readListen,
  type ListenAddress,
  type ListenConfig,
} from './listen.ts';

export { ConfigError } from './settings.ts';

/** All settings, read once from the environment and validated. */
export interface Config extends ListenConfig {
  readonly storage: StorageConfig;
  readonly search: SearchConfig;
  readonly auth: AuthConfig;
  /** Where the rules for retention and quotas are; undefined if there are none. */
  readonly retention: PolicyLocation | undefined;
  /** Origins of web pages that may read responses (CORS); `*` for all. */
  readonly corsOrigins: readonly string[];
  /** What is set and probably not meant so, for the log. */
  readonly warnings: readonly string[];
  /** No push, no delete, no maintenance. */
  readonly readOnly: boolean;
  readonly deleteEnabled: boolean;
  /** Whether pulls are redirected to the store if it can sign URLs. */
  readonly redirectEnabled: boolean;
  /** The first signs; signatures of the others are accepted as well. Empty in a function that signs nothing and has none. */
  readonly secrets: readonly string[];
  /** Whether this process generated the secret, so that no other process has it. */
  readonly secretIsGenerated: boolean;
  /** The public base URL for absolute URLs, without a trailing slash. */
  readonly host: string | undefined;
  readonly relativeUrls: boolean;
  /** The public base URL of the data plane, without a trailing slash. It may have a path. */
  readonly dataPlane: string | undefined;
  /** Concurrent request bodies of all workers. */
  readonly maxUploads: number;
  /** Undefined for no traces. */
  readonly tracing: TracingConfig | undefined;
  /** The namespace of metrics for CloudWatch, in functions; undefined for none. */
  readonly cloudWatch: string | undefined;
  /** Processes that share the port and its limits; undefined for as many as the machine gives. */
  readonly workers: number | undefined;
  /** The number of this worker from 0; undefined in a process that serves alone. */
  readonly workerNumber: number | undefined;
  /** Undefined for none. Functions have none either way. */
  readonly debug: DebugConfig | undefined;
  /** How long requests in flight may take after the server has stopped to take others. */
  readonly drainTimeoutMs: number;
  /** Proxies whose headers about their clients are believed. */
  readonly trustedProxies: readonly Subnet[];
  readonly health: HealthConfig;
  readonly log: LogConfig;
  /** Manifests that must exist when their index is pushed. */
  readonly requiredPlatforms: RequiredPlatforms;
  readonly collection: CollectionConfig;
  readonly notifications: NotificationsConfig;
  /** Other registries that repositories here are caches of. */
  readonly upstreams: readonly UpstreamConfig[];
  /** The function of Lambda that copies blobs from them, by name or ARN; undefined for none. */
  readonly copyFunction: string | undefined;
}

/** Whether a process serves beside a first one, which does what is done once. */
export function isFurtherWorker({ workerNumber = 0 }: Pick<Config, 'workerNumber'>): boolean {
  return workerNumber > 0;
}

/**
 * - `functions`: in Lambda, or under serverless-offline; buffered bodies of a few MiB
 * - `server`: the streaming server as the whole registry
 * - `data-plane`: the streaming server beside functions
 * - `maintenance`: jobs on the store; serves no requests
 */
export type Program = 'functions' | 'server' | 'data-plane' | 'maintenance';

export interface ReadOptions {
  /** Where the settings are, for the message. */
  readonly where?: string | undefined;
  /** Whether a function needs `REGISTRY_HTTP_SECRET` for what it serves. @default true */
  readonly signs?: boolean;
}

/** Reads the settings, named as in distribution. @throws ConfigError */
export function loadConfig(
  program: Program,
  environment: Environment = process.env,
  options: ReadOptions = {},
): Config {
  return readConfig(program, new Settings(environment), options);
}

/** @throws ConfigError */
export function readConfig(
  program: Program,
  settings: Settings,
  { where, signs = true }: ReadOptions = {},
): Config {
  const ephemeral = settings.inLambda && program !== 'data-plane';
  const listens = program === 'server' || program === 'data-plane';
  const listen = readListen(settings, listens);
  const secrets = readSecrets(settings, program, signs);
  const auth = readAccess(settings, {
    program,
    address: listen.address,
    secrets: secrets.secrets,
    hasFile: where !== undefined,
  });
  const config: Config = {
    storage: readStorage(settings, ephemeral),
    search: readSearch(settings, ephemeral),
    auth,
    retention: readRetention(settings, auth),
    corsOrigins: readOrigins(settings),
    warnings: [],
    readOnly: settings.flag('REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED', false),
    deleteEnabled: settings.flag('REGISTRY_STORAGE_DELETE_ENABLED', true),
    redirectEnabled: !settings.flag('REGISTRY_STORAGE_REDIRECT_DISABLE', false),
    ...secrets,
    host: readHost(settings, listen.prefix),
    relativeUrls: settings.flag('REGISTRY_HTTP_RELATIVEURLS', false),
    dataPlane: settings.url('REGISTRY_HTTP_DATAPLANE', (path) => prefixPattern.test(`${path}/`)),
    ...listen,
    maxUploads: settings.number('REGISTRY_HTTP_MAXUPLOADS', 'uploads', {
      min: 1,
      max: 100_000,
      fallback: 256,
    }),
    tracing: readTracing(settings),
    cloudWatch: readCloudWatch(settings, program === 'functions'),
    workers: readWorkers(settings),
    workerNumber: readWorkerNumber(),
    debug: readDebug(settings, listens ? listen.address : undefined),
    drainTimeoutMs: settings.duration('REGISTRY_HTTP_DRAINTIMEOUT', {
      min: 0,
      max: 24 * 3_600_000,
      fallback: 10 * 60_000,
    }),
    trustedProxies: readTrustedProxies(settings),
    health: readHealth(settings),
    log: readLog(settings),
    requiredPlatforms: readPlatforms(settings),
    collection: readCollection(settings, program === 'server'),
    notifications: readNotifications(settings, program === 'server'),
    upstreams: readUpstreams(settings),
    copyFunction: readCopyFunction(settings, program === 'server'),
  };
  checkPlanes(settings, program, config);
  if (config.readOnly && config.upstreams.length > 0)
    settings.fault(
      'REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: a cache of other registries must write; remove it, or the upstreams',
    );
  if (settings.text('REGISTRY_CONFIGURATION_PATH') !== undefined)
    settings.fault(
      'REGISTRY_CONFIGURATION_PATH: only stowage serve, config check and the maintenance commands read a file; give its settings as variables, and remove it',
    );
  // Functions and servers have put the settings in their place.
  if (settings.text('REGISTRY_SECRETS') !== undefined)
    settings.fault(
      'REGISTRY_SECRETS: only functions and stowage serve read secrets; give the settings in them as variables, and remove it',
    );
  settings.finish(where);
  return { ...config, warnings: [...settings.warnings, ...warningsOf(config)] };
}

function readSecrets(
  settings: Settings,
  program: Program,
  signs: boolean,
): Pick<Config, 'secrets' | 'secretIsGenerated'> {
  const secret = settings.text('REGISTRY_HTTP_SECRET');
  const previous = settings.text('REGISTRY_HTTP_SECRET_PREVIOUS');
  // Elsewhere, all functions have the same environment, and tokens may be signed with this secret.
  if (secret === undefined && program === 'functions' && settings.inLambda && !signs)
    return { secrets: [], secretIsGenerated: false };
  if (secret === undefined && (program === 'functions' || program === 'data-plane'))
    settings.fault(
      'REGISTRY_HTTP_SECRET: missing; functions and data plane need the same one, such as from: openssl rand -hex 32',
    );
  const first = secret ?? randomBytes(32).toString('hex');
  return {
    secrets: previous === undefined ? [first] : [first, previous],
    secretIsGenerated: secret === undefined,
  };
}

/** The origin. Its path may repeat the prefix, which is added to all URLs. */
function readHost(settings: Settings, prefix: string): string | undefined {
  const url = settings.url('REGISTRY_HTTP_HOST', (path) => path === prefix);
  return url === undefined ? undefined : new URL(url).origin;
}

interface AccessContext extends Pick<Config, 'secrets'> {
  readonly program: Program;
  readonly address: ListenAddress;
  /** Whether the settings are in a file. */
  readonly hasFile: boolean;
}

/** A data plane asks for no credentials: the signatures of its URLs are all the authority it knows. Nor does maintenance. */
function readAccess(settings: Settings, { program, address, secrets, hasFile }: AccessContext): AuthConfig {
  const isFunctions = program === 'functions';
  return readAuth(settings, {
    isLocal:
      program === 'data-plane' ||
      program === 'maintenance' ||
      (isFunctions ? !settings.inLambda : isLocal(address)),
    openCommand: hasFile
      ? 'set auth: none in the file, or REGISTRY_AUTH=none'
      : isFunctions
        ? 'set REGISTRY_AUTH=none for the functions'
        : settings.inImage
          ? 'docker run -e REGISTRY_AUTH=none …'
          : `REGISTRY_AUTH=none ${describeAddress(address)} stowage serve`,
    httpSecrets: isFunctions && settings.inLambda ? undefined : secrets,
  });
}

/** Settings that are valid and probably a mistake. */
function warningsOf({ secrets, secretIsGenerated, auth, host, address, tls }: Config): string[] {
  const isShort = secrets.some((secret) => secret.length < minSecretLength);
  const needsHost = auth.kind === 'policy' && host === undefined && !isLocal(address);
  const isVolatile = auth.kind === 'policy' && secretIsGenerated && auth.secrets === secrets;
  return [
    ...(tls?.certificates.warnings ?? []),
    ...(isVolatile
      ? [
          'REGISTRY_HTTP_SECRET is not set, so logins and passwords of robots end with this process; take one from: openssl rand -hex 32',
        ]
      : []),
    ...(isShort
      ? [
          `REGISTRY_HTTP_SECRET has fewer than ${minSecretLength} characters and can be guessed from a signed URL; take one from: openssl rand -hex 32`,
        ]
      : []),
    ...(needsHost
      ? [
          'REGISTRY_HTTP_HOST is not set, so challenges name the token service by the host and scheme of each request; set it to the URL that clients use, such as https://registry.example.com',
        ]
      : []),
  ];
}

function readOrigins(settings: Settings): readonly string[] {
  const name = 'REGISTRY_HTTP_CORS_ORIGINS';
  const origins = (settings.text(name) ?? '').split(/[\s,]+/).filter((one) => one !== '');
  for (const origin of origins)
    if (origin !== '*' && !(URL.canParse(origin) && new URL(origin).origin === origin))
      settings.fault(`${name}: ${JSON.stringify(origin)} is no origin such as https://ui.example.com, nor *`);
  return origins;
}

export const readOnlyReason =
  'the registry is read-only; remove REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED to change its storage';

/** For jobs that bypass the registry. @throws Error in read-only mode */
export function assertWritable({ readOnly }: Config): void {
  if (readOnly) throw new Error(readOnlyReason);
}

/** Reports at start what a plane cannot do, instead of failing requests later. */
function checkPlanes(settings: Settings, program: Program, config: Config): void {
  const { storage, redirectEnabled, dataPlane, host } = config;
  if (
    program === 'functions' &&
    dataPlane === undefined &&
    settings.text('REGISTRY_HTTP_DATAPLANE') === undefined &&
    !(storage.kind !== 'filesystem' && redirectEnabled)
  )
    settings.fault(
      `REGISTRY_HTTP_DATAPLANE: missing; functions cannot carry layers and ${
        storage.kind !== 'filesystem'
          ? 'REGISTRY_STORAGE_REDIRECT_DISABLE disables redirects to the bucket'
          : 'a folder cannot sign URLs'
      }, so set the base URL of the streaming server (stowage serve data-plane, on the same storage)`,
    );
  if (
    program === 'functions' &&
    config.upstreams.length > 0 &&
    dataPlane === undefined &&
    config.copyFunction === undefined
  )
    settings.fault(
      'REGISTRY_PROXY_COPYFUNCTION: missing; functions that answer requests cannot copy layers of other registries, so name the function copy, or set REGISTRY_HTTP_DATAPLANE to the streaming server (stowage serve data-plane)',
    );
  if (
    (program === 'functions' || program === 'data-plane') &&
    config.notifications.endpoints.some(({ actions }) => actions.includes('pull'))
  )
    settings.fault(
      'REGISTRY_NOTIFICATIONS_ENDPOINTS: functions, and a data plane beside them, send no events of pulls; remove pull from actions',
    );
  if (program === 'server' && dataPlane !== undefined)
    settings.fault(
      'REGISTRY_HTTP_DATAPLANE: only functions need a data plane; the streaming server takes uploads itself; remove it',
    );
  if (program === 'data-plane' && host === undefined && settings.text('REGISTRY_HTTP_HOST') === undefined)
    settings.fault('REGISTRY_HTTP_HOST: missing; a data plane needs the base URL of the functions');
}
