import { resolve } from 'node:path';
import { isMounted } from '../lambda/disk.ts';
import { readS3, s3Prefix, type S3Config } from './s3.ts';
import { readScs, scsPrefix, type ScsConfig } from './scs.ts';
import type { Settings } from './settings.ts';

/** Which store the images are in, and how it is reached. */
export type StorageConfig = FilesystemConfig | BucketConfig;

export type BucketConfig = S3Config | ScsConfig;

export interface FilesystemConfig {
  readonly kind: 'filesystem';
  /** Absolute path. */
  readonly rootDirectory: string;
}

/** Where the images are, in words. */
export function describeStorage(storage: StorageConfig): string {
  if (storage.kind === 'filesystem') return storage.rootDirectory;
  const { bucket, rootDirectory, endpoint, region = '' } = storage;
  const below = rootDirectory === '' ? '' : `, below ${rootDirectory}/`;
  return `the bucket ${bucket} (${endpoint ?? region})${below}`;
}

const folderSetting = 'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';

/** Every store, as `REGISTRY_STORAGE` names it. */
const kinds = ['filesystem', 's3', 'scs'] as const;

type Kind = (typeof kinds)[number];

/** How the settings of a bucket begin. */
const prefixes = { s3: s3Prefix, scs: scsPrefix } as const;

/**
 * The store that is named or else the one that is configured; a folder, if none is.
 * @param fleeting whether the machine's own disk is lost with the process
 */
export function readStorage(settings: Settings, fleeting: boolean): StorageConfig {
  const named = settings.optionalChoice('REGISTRY_STORAGE', kinds);
  const folder = settings.text(folderSetting);
  const configured = kinds.filter((kind) =>
    kind === 'filesystem' ? folder !== undefined : settings.hasAny(prefixes[kind]),
  );
  if (named === undefined && configured.length > 1)
    settings.fault(
      `REGISTRY_STORAGE: more than one store is configured, so it must say which: ${configured.join(' or ')}`,
    );
  const chosen: Kind = named ?? configured.find((kind) => kind !== 'filesystem') ?? 'filesystem';
  // All that are configured are read, so that their settings are known and checked.
  const wanted = (kind: Kind) => chosen === kind || configured.includes(kind);
  const s3 = wanted('s3') ? readS3(settings) : undefined;
  const scs = wanted('scs') ? readScs(settings) : undefined;
  return { s3, scs, filesystem: undefined }[chosen] ?? readFilesystem(settings, folder, fleeting);
}

/** Whether an environment configures a bucket. */
export function configuresBucket(settings: Settings): boolean {
  return Object.values(prefixes).some((prefix) => settings.hasAny(prefix));
}

function readFilesystem(settings: Settings, folder: string | undefined, fleeting: boolean): FilesystemConfig {
  if (fleeting && !isMounted(folder))
    settings.fault(
      `${folderSetting}: Lambda's own disk is lost with each instance; configure a bucket, or name a mounted file system, which are below /mnt`,
    );
  return { kind: 'filesystem', rootDirectory: resolve(folder ?? '.registry') };
}
