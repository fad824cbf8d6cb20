import { randomBytes } from 'node:crypto';
import { Settings, type Environment } from './settings.ts';
import { readPlatforms } from './platforms.ts';
import type { RequiredPlatforms } from '../registry/manifests/required-platforms.ts';
import { readSearch, type SearchConfig } from './search.ts';
import { readStorage, type StorageConfig } from './storage.ts';

export { ConfigError } from './settings.ts';

/** Everything that can be set, read once from the environment and checked. */
export interface Config {
  readonly storage: StorageConfig;
  readonly search: SearchConfig;
  /** Whether nothing is written: no push, no delete, no maintenance. */
  readonly readOnly: boolean;
  /** Whether manifests, tags and blobs may be deleted. */
  readonly deleteEnabled: boolean;
  /** Whether pulls are sent to the store itself where it can sign URLs. */
  readonly redirectEnabled: boolean;
  /** Keys are derived from the first; what was signed with any of the others is still accepted. */
  readonly secrets: readonly [string, ...string[]];
  /** Whether the secret was made up at this start, so that no other process knows it. */
  readonly secretIsOwn: boolean;
  /** Where clients reach this registry, for absolute URLs. Without a slash at its end. */
  readonly host: string | undefined;
  readonly relativeUrls: boolean;
  /** Where clients reach the streaming server that takes uploads for the functions. Without a slash at its end. */
  readonly dataPlane: string | undefined;
  /** Where the streaming server listens. */
  readonly address: { readonly host: string; readonly port: number };
  /** Bodies of requests that a process takes at once. */
  readonly maxUploads: number;
  readonly logLevel: LogLevel;
  /** Which manifests of an index must be there when it is pushed. */
  readonly requiredPlatforms: RequiredPlatforms;
}

const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * Which of the programs is being started; they need different things.
 * - `functions`: in Lambda, or under serverless-offline; buffered bodies of a few MiB
 * - `server`: the streaming server as the whole registry
 * - `data-plane`: the streaming server beside functions
 * - `maintenance`: works on the store alone and answers no request
 */
export type Program = 'functions' | 'server' | 'data-plane' | 'maintenance';

/**
 * Reads the settings, named as distribution names them.
 * @param program that is being started
 * @throws ConfigError
 */
export function loadConfig(program: Program, environment: Environment = process.env): Config {
  const settings = new Settings(environment);
  const fleeting = settings.inLambda && program !== 'data-plane';
  const config: Config = {
    storage: readStorage(settings, fleeting),
    search: readSearch(settings, fleeting),
    readOnly: settings.flag('REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED', false),
    deleteEnabled: settings.flag('REGISTRY_STORAGE_DELETE_ENABLED', true),
    redirectEnabled: !settings.flag('REGISTRY_STORAGE_REDIRECT_DISABLE', false),
    ...readSecrets(settings, program),
    host: settings.url('REGISTRY_HTTP_HOST'),
    relativeUrls: settings.flag('REGISTRY_HTTP_RELATIVEURLS', false),
    dataPlane: settings.url('REGISTRY_HTTP_DATAPLANE'),
    address: settings.address('REGISTRY_HTTP_ADDR', { host: '127.0.0.1', port: 5000 }),
    maxUploads: settings.number('REGISTRY_HTTP_MAXUPLOADS', 'uploads', {
      min: 1,
      max: 100_000,
      fallback: 256,
    }),
    logLevel: settings.choice('REGISTRY_LOG_LEVEL', logLevels, 'info'),
    requiredPlatforms: readPlatforms(settings),
  };
  checkPlanes(settings, program, config);
  settings.finish();
  return config;
}

function readSecrets(settings: Settings, program: Program): Pick<Config, 'secrets' | 'secretIsOwn'> {
  const secret = settings.text('REGISTRY_HTTP_SECRET');
  const previous = settings.text('REGISTRY_HTTP_SECRET_PREVIOUS');
  if (secret === undefined && (program === 'functions' || program === 'data-plane'))
    settings.fault(
      'REGISTRY_HTTP_SECRET: missing; functions and data plane need the same one, such as from: openssl rand -hex 32',
    );
  const first = secret ?? randomBytes(32).toString('hex');
  return { secrets: previous === undefined ? [first] : [first, previous], secretIsOwn: secret === undefined };
}

/** Why nothing is written to the storage in read-only mode, and what to do about it. */
export const readOnlyReason =
  'the registry is read-only; remove REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED to change its storage';

/** For what works on the storage itself, beneath the registry. @throws Error in read-only mode */
export function assertWritable({ readOnly }: Config): void {
  if (readOnly) throw new Error(readOnlyReason);
}

/** What a plane cannot do is said at its start, not at the first request that needs it. */
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
          ? 'REGISTRY_STORAGE_REDIRECT_DISABLE keeps pulls from the bucket'
          : 'a folder cannot sign URLs'
      }, so name the base URL of the streaming server (stowage serve data-plane, on the same storage)`,
    );
  if (program === 'server' && dataPlane !== undefined)
    settings.fault(
      'REGISTRY_HTTP_DATAPLANE: only functions need a data plane; the streaming server takes uploads itself, so remove it',
    );
  if (program === 'data-plane' && host === undefined && settings.text('REGISTRY_HTTP_HOST') === undefined)
    settings.fault('REGISTRY_HTTP_HOST: missing; a data plane must know the base URL of the functions');
}
