import { readBucket, readEndpoint, readRoot } from './bucket.ts';
import type { Settings } from './settings.ts';
import { isAws } from '../storage/s3/aws-endpoints.ts';
import type { CopyOptions, S3Credentials, S3Options } from '../storage/s3/bucket.ts';

export interface S3Config extends S3Options {
  readonly kind: 's3';
}

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

export const s3Prefix = 'REGISTRY_STORAGE_S3_';

/** S3's storage classes with immediate access (API reference of PutObject). */
const storageClasses = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'EXPRESS_ONEZONE',
] as const;

/** A bucket of S3 or a compatible server. Settings are named as in distribution. */
export function readS3(settings: Settings): S3Config {
  const name = (key: string) => s3Prefix + key;
  const endpoint = readS3Endpoint(settings);
  if (settings.optionalFlag(name('V4AUTH')) === false)
    settings.fault(`${name('V4AUTH')}: signatures of version 2 are not supported; remove it`);
  return {
    kind: 's3',
    bucket: readBucket(settings, name('BUCKET')),
    region: readRegion(settings, endpoint),
    endpoint,
    credentials: readCredentials(settings),
    rootDirectory: readRoot(settings, name('ROOTDIRECTORY')),
    forcePathStyle: settings.flag(name('FORCEPATHSTYLE'), endpoint !== undefined),
    ...readEncryption(settings),
    storageClass: readStorageClass(settings),
    skipVerify: settings.flag(name('SKIPVERIFY'), false),
    partSize: settings.number(name('CHUNKSIZE'), 'bytes', { min: 5 * MiB, max: GiB, fallback: 8 * MiB }),
    equalParts: settings.flag(name('EQUALPARTS'), endpoint !== undefined && isR2(endpoint)),
    // Others are probed.
    conditionalWrites:
      settings.optionalFlag(name('CONDITIONALWRITES')) ?? (isAws(endpoint) ? true : undefined),
    copy: readCopy(settings),
  };
}

function readS3Endpoint(settings: Settings): string | undefined {
  const { endpoint, secure } = readEndpoint(settings, s3Prefix, true);
  if (endpoint === undefined && !secure)
    settings.fault(`${s3Prefix}SECURE: false requires ${s3Prefix}REGIONENDPOINT; S3 itself uses https`);
  return endpoint;
}

function readRegion(settings: Settings, endpoint: string | undefined): string {
  const setting = `${s3Prefix}REGION`;
  const region = settings.text(setting);
  if (region === undefined && endpoint === undefined)
    settings.fault(`${setting}: missing; name the bucket's region, such as eu-central-1`);
  else if (region !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9-]*$/.test(region))
    settings.fault(`${setting}: ${JSON.stringify(region)} is not a region, such as eu-central-1`);
  else if (region !== undefined && endpoint === undefined && !/^[a-z]{2,}(-[a-z]+)+-\d+$/.test(region))
    settings.fault(`${setting}: ${JSON.stringify(region)} is not a region of AWS, such as eu-central-1`);
  return region ?? 'us-east-1';
}

/** Without keys, the SDK uses its default credential providers. */
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
        `${s3Prefix}ACCESSKEY: missing, and ${s3Prefix}SECRETKEY; ${s3Prefix}SESSIONTOKEN has no effect without both`,
      );
  } else
    settings.fault(
      `${s3Prefix}${missing}: missing, but the other key is set; set both, or none to use a role`,
    );
  return undefined;
}

function readEncryption(settings: Settings): Pick<S3Options, 'encryption'> {
  const encrypt = settings.flag(`${s3Prefix}ENCRYPT`, false);
  const keyId = settings.text(`${s3Prefix}KEYID`);
  if (keyId !== undefined && !encrypt)
    settings.fault(`${s3Prefix}KEYID: has no effect unless ${s3Prefix}ENCRYPT is true`);
  return encrypt ? { encryption: { keyId } } : {};
}

/** S3 copies objects above 5 GiB only in parts, of at least 5 MiB. */
function readCopy(settings: Settings): CopyOptions {
  const name = (key: string) => `${s3Prefix}MULTIPARTCOPY${key}`;
  return {
    threshold: settings.number(name('THRESHOLDSIZE'), 'bytes', { min: 5 * MiB, max: 5 * GiB, fallback: GiB }),
    partSize: settings.number(name('CHUNKSIZE'), 'bytes', {
      min: 5 * MiB,
      max: 5 * GiB,
      fallback: 256 * MiB,
    }),
    parallel: settings.number(name('MAXCONCURRENCY'), 'concurrent copies', {
      min: 1,
      max: 1000,
      fallback: 16,
    }),
  };
}

/** As in distribution, `NONE` is for servers without storage classes. */
function readStorageClass(settings: Settings): S3Options['storageClass'] {
  const named = settings.optionalChoice(`${s3Prefix}STORAGECLASS`, [...storageClasses, 'NONE']);
  return named === 'NONE' ? undefined : named;
}

function isR2(endpoint: string): boolean {
  return new URL(endpoint).hostname.endsWith('.r2.cloudflarestorage.com');
}
