import { resolve } from 'node:path';
import type { Settings } from './settings.ts';
import type { CopyOptions, S3Credentials, S3Options } from './storage/s3-bucket.ts';

/** Which store the images are in, and how it is reached. */
export type StorageConfig = FilesystemConfig | S3Config;

export interface FilesystemConfig {
  readonly kind: 'filesystem';
  /** Absolute path. */
  readonly rootDirectory: string;
}

export interface S3Config extends S3Options {
  readonly kind: 's3';
}

/** Where the images are, in words. */
export function describeStorage(storage: StorageConfig): string {
  if (storage.kind === 'filesystem') return storage.rootDirectory;
  const { bucket, rootDirectory, endpoint, region } = storage;
  const below = rootDirectory === '' ? '' : `, below ${rootDirectory}/`;
  return `the bucket ${bucket} (${endpoint ?? region})${below}`;
}

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

const folderSetting = 'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';
const s3Prefix = 'REGISTRY_STORAGE_S3_';

/** S3's own names ("Storage class" in the API reference of PutObject), as far as objects can be read at once. */
const storageClasses = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'EXPRESS_ONEZONE',
] as const;

/**
 * The store that is named or else the one that is configured; a folder, if none is.
 * @param fleeting whether the machine's own disk is lost with the process
 */
export function readStorage(settings: Settings, fleeting: boolean): StorageConfig {
  const named = settings.optionalChoice('REGISTRY_STORAGE', ['filesystem', 's3']);
  const folder = settings.text(folderSetting);
  const hasS3 = settings.hasAny(s3Prefix);
  if (named === undefined && hasS3 && folder !== undefined)
    settings.fault(`REGISTRY_STORAGE: two stores are configured, so it must say which: filesystem or s3`);
  // Read in any case, so that its settings are known and checked.
  const s3 = hasS3 || named === 's3' ? readS3(settings) : undefined;
  return s3 !== undefined && named !== 'filesystem' ? s3 : readFilesystem(settings, folder, fleeting);
}

function readFilesystem(settings: Settings, folder: string | undefined, fleeting: boolean): FilesystemConfig {
  if (fleeting && (folder === undefined || /^\/tmp(\/|$)/.test(resolve(folder))))
    settings.fault(
      `${folderSetting}: Lambda's own disk is lost with each instance; configure a bucket, or name a mounted file system`,
    );
  return { kind: 'filesystem', rootDirectory: resolve(folder ?? '.registry') };
}

function readS3(settings: Settings): S3Config {
  const name = (key: string) => s3Prefix + key;
  const endpoint = readEndpoint(settings);
  if (settings.optionalFlag(name('V4AUTH')) === false)
    settings.fault(`${name('V4AUTH')}: signatures of version 2 are not supported; remove it`);
  return {
    kind: 's3',
    bucket: readBucket(settings),
    region: readRegion(settings, endpoint),
    endpoint,
    credentials: readCredentials(settings),
    rootDirectory: readRoot(settings),
    forcePathStyle: settings.flag(name('FORCEPATHSTYLE'), endpoint !== undefined),
    ...readEncryption(settings),
    storageClass: readStorageClass(settings),
    skipVerify: settings.flag(name('SKIPVERIFY'), false),
    partSize: settings.number(name('CHUNKSIZE'), 'bytes', { min: 5 * MiB, max: GiB, fallback: 8 * MiB }),
    equalParts: settings.flag(name('EQUALPARTS'), endpoint !== undefined && isR2(endpoint)),
    // AWS has them; others are asked.
    conditionalWrites:
      settings.optionalFlag(name('CONDITIONALWRITES')) ?? (endpoint === undefined ? true : undefined),
    copy: readCopy(settings),
  };
}

/** The rules of S3 ("Bucket naming rules" in its User Guide), but for capitals, which other servers take. */
function readBucket(settings: Settings): string {
  const setting = `${s3Prefix}BUCKET`;
  const bucket = settings.text(setting);
  if (bucket === undefined) settings.fault(`${setting}: missing; name the bucket`);
  else if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/.test(bucket))
    settings.fault(`${setting}: ${JSON.stringify(bucket)} cannot be the name of a bucket`);
  return bucket ?? '';
}

function readRegion(settings: Settings, endpoint: string | undefined): string {
  const setting = `${s3Prefix}REGION`;
  const region = settings.text(setting);
  if (region === undefined && endpoint === undefined)
    settings.fault(`${setting}: missing; name the bucket's region, such as eu-central-1`);
  else if (region !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9-]*$/.test(region))
    settings.fault(`${setting}: ${JSON.stringify(region)} is no region, such as eu-central-1`);
  else if (region !== undefined && endpoint === undefined && !/^[a-z]{2,}(-[a-z]+)+-\d+$/.test(region))
    settings.fault(`${setting}: ${JSON.stringify(region)} is no region of AWS, such as eu-central-1`);
  return region ?? 'us-east-1';
}

/** With or without its scheme; `_SECURE` decides where it has none. */
function readEndpoint(settings: Settings): string | undefined {
  const secure = settings.flag(`${s3Prefix}SECURE`, true);
  const setting = `${s3Prefix}REGIONENDPOINT`;
  const text = settings.text(setting);
  if (text === undefined) {
    if (!secure)
      settings.fault(`${s3Prefix}SECURE: false is only for a ${setting}; S3 itself is reached by https`);
    return undefined;
  }
  const value = /^https?:\/\//i.test(text) ? text : `${secure ? 'https' : 'http'}://${text}`;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.href !== `${url?.origin ?? ''}/`)
    settings.fault(
      `${setting}: not the base URL of a server, such as https://minio.example.com:9000, without the bucket`,
    );
  return url?.origin;
}

/** Both keys, or none: then the SDK looks for them where AWS puts them. */
function readCredentials(settings: Settings): S3Credentials | undefined {
  const accessKeyId = settings.text(`${s3Prefix}ACCESSKEY`);
  const secretAccessKey = settings.text(`${s3Prefix}SECRETKEY`);
  const sessionToken = settings.text(`${s3Prefix}SESSIONTOKEN`);
  if (accessKeyId !== undefined && secretAccessKey !== undefined)
    return { accessKeyId, secretAccessKey, sessionToken };
  const missing = accessKeyId === undefined ? 'ACCESSKEY' : 'SECRETKEY';
  if (accessKeyId === undefined && secretAccessKey === undefined) {
    if (sessionToken !== undefined)
      settings.fault(
        `${s3Prefix}ACCESSKEY: missing, and ${s3Prefix}SECRETKEY; ${s3Prefix}SESSIONTOKEN means nothing without both`,
      );
  } else
    settings.fault(
      `${s3Prefix}${missing}: missing, but the other key is set; set both, or none to use a role`,
    );
  return undefined;
}

/** As distribution has it: slashes at its ends do not count. */
function readRoot(settings: Settings): string {
  const setting = `${s3Prefix}ROOTDIRECTORY`;
  const root = (settings.text(setting) ?? '').replace(/^\/+|\/+$/g, '');
  if (root !== '' && root.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    settings.fault(`${setting}: ${JSON.stringify(root)} must not have empty, "." or ".." segments`);
  if (Buffer.byteLength(root) > 256)
    settings.fault(`${setting}: longer than 256 bytes; keys have room for no more`);
  return root;
}

function readEncryption(settings: Settings): Pick<S3Options, 'encryption'> {
  const encrypt = settings.flag(`${s3Prefix}ENCRYPT`, false);
  const keyId = settings.text(`${s3Prefix}KEYID`);
  if (keyId !== undefined && !encrypt)
    settings.fault(`${s3Prefix}KEYID: means nothing unless ${s3Prefix}ENCRYPT is true`);
  return encrypt ? { encryption: { keyId } } : {};
}

/** Above 5 GiB S3 copies in parts only; a part is at least 5 MiB. */
function readCopy(settings: Settings): CopyOptions {
  const name = (key: string) => `${s3Prefix}MULTIPARTCOPY${key}`;
  return {
    threshold: settings.number(name('THRESHOLDSIZE'), 'bytes', { min: 5 * MiB, max: 5 * GiB, fallback: GiB }),
    partSize: settings.number(name('CHUNKSIZE'), 'bytes', {
      min: 5 * MiB,
      max: 5 * GiB,
      fallback: 256 * MiB,
    }),
    parallel: settings.number(name('MAXCONCURRENCY'), 'copies at once', { min: 1, max: 1000, fallback: 16 }),
  };
}

/** `NONE` is distribution's word for servers that know no classes. */
function readStorageClass(settings: Settings): S3Options['storageClass'] {
  const named = settings.optionalChoice(`${s3Prefix}STORAGECLASS`, [...storageClasses, 'NONE']);
  return named === 'NONE' ? undefined : named;
}

function isR2(endpoint: string): boolean {
  return new URL(endpoint).hostname.endsWith('.r2.cloudflarestorage.com');
}
