import { resolve } from 'node:path';
import { defaultsOf } from './defaults.ts';
import { isMounted } from './mounted.ts';
import { readS3, s3Prefix, type S3Config } from './s3.ts';
import { readScs, scsPrefix, type ScsConfig } from './scs.ts';
import { refusalOf, type Settings } from './settings.ts';

export type StorageConfig = FilesystemConfig | BucketConfig;

export type BucketConfig = S3Config | ScsConfig;

export interface FilesystemConfig {
  readonly kind: 'filesystem';
  /** Absolute path. */
  readonly rootDirectory: string;
}

/** For messages. */
export function describeStorage(storage: StorageConfig): string {
  if (storage.kind === 'filesystem') return storage.rootDirectory;
  const { bucket, rootDirectory, endpoint, region = '' } = storage;
  const prefix = rootDirectory === '' ? '' : `, below ${rootDirectory}/`;
  return `the bucket ${bucket} (${endpoint ?? region})${prefix}`;
}

const folderSetting = 'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';

/** The values of `REGISTRY_STORAGE`. */
const kinds = ['filesystem', 's3', 'scs'] as const;

type Kind = (typeof kinds)[number];

const prefixes = { s3: s3Prefix, scs: scsPrefix } as const;

/**
 * The store named by `REGISTRY_STORAGE`, else the configured one, else a folder.
 * @param ephemeral whether the local disk is lost with the process
 */
export function readStorage(settings: Settings, ephemeral: boolean): StorageConfig {
  const named = readKind(settings);
  const folder = settings.text(folderSetting);
  const configured = kinds.filter((kind) =>
    kind === 'filesystem' ? folder !== undefined : settings.hasAny(prefixes[kind]),
  );
  if (named === undefined && configured.length > 1)
    settings.fault(
      `REGISTRY_STORAGE: more than one store is configured; set it to ${configured.join(' or ')}`,
    );
  const chosen: Kind = named ?? configured.find((kind) => kind !== 'filesystem') ?? 'filesystem';
  // Reads every configured store, so that all settings are validated.
  const wanted = (kind: Kind) => chosen === kind || configured.includes(kind);
  const s3 = wanted('s3') ? readS3(settings) : undefined;
  const scs = wanted('scs') ? readScs(settings) : undefined;
  return { s3, scs, filesystem: undefined }[chosen] ?? readFilesystem(settings, folder, ephemeral);
}

function readKind(settings: Settings): Kind | undefined {
  const refusal = refusalOf(`REGISTRY_STORAGE_${settings.text('REGISTRY_STORAGE')?.toUpperCase() ?? ''}`);
  if (refusal === undefined) return settings.optionalChoice('REGISTRY_STORAGE', kinds);
  settings.fault(`REGISTRY_STORAGE: ${refusal}`);
  return undefined;
}

export function configuresBucket(settings: Settings): boolean {
  return Object.values(prefixes).some((prefix) => settings.hasAny(prefix));
}

function readFilesystem(
  settings: Settings,
  folder: string | undefined,
  ephemeral: boolean,
): FilesystemConfig {
  if (ephemeral && !isMounted(folder))
    settings.fault(
      `${folderSetting}: Lambda's disk is lost with each instance; configure a bucket, or name a folder on a mounted file system, below /mnt`,
    );
  return { kind: 'filesystem', rootDirectory: resolve(folder ?? defaultsOf(settings).rootDirectory) };
}
