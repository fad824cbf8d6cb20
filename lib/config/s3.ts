import { readBucket, readEndpoint, readRoot } from './bucket.ts';
import { quoted, type Settings } from './settings.ts';
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
  const endpoint = readS3Endpoint(settings);
  if (settings.optionalFlag('REGISTRY_STORAGE_S3_V4AUTH') === false)
    settings.fault('REGISTRY_STORAGE_S3_V4AUTH: signatures of version 2 are not supported; remove it');
  return {
    kind: 's3',
    bucket: readBucket(settings, 'REGISTRY_STORAGE_S3_BUCKET'),
    region: readRegion(settings, endpoint),
    endpoint,
    credentials: readCredentials(settings),
    rootDirectory: readRoot(settings, 'REGISTRY_STORAGE_S3_ROOTDIRECTORY'),
    forcePathStyle: settings.flag('REGISTRY_STORAGE_S3_FORCEPATHSTYLE', endpoint !== undefined),
    ...readEncryption(settings),
    storageClass: readStorageClass(settings),
    skipVerify: settings.flag('REGISTRY_STORAGE_S3_SKIPVERIFY', false),
    partSize: settings.number('REGISTRY_STORAGE_S3_CHUNKSIZE', 'bytes', {
      min: 5 * MiB,
      max: GiB,
      fallback: 8 * MiB,
    }),
    equalParts: settings.flag('REGISTRY_STORAGE_S3_EQUALPARTS', endpoint !== undefined && isR2(endpoint)),
    // Others are probed.
    conditionalWrites:
      settings.optionalFlag('REGISTRY_STORAGE_S3_CONDITIONALWRITES') ?? (isAws(endpoint) ? true : undefined),
    copy: readCopy(settings),
  };
}

function readS3Endpoint(settings: Settings): string | undefined {
  const secure = settings.flag('REGISTRY_STORAGE_S3_SECURE', true);
  const endpoint = readEndpoint(settings, 'REGISTRY_STORAGE_S3_REGIONENDPOINT', secure);
  if (endpoint === undefined && !secure)
    settings.fault(
      'REGISTRY_STORAGE_S3_SECURE: false requires REGISTRY_STORAGE_S3_REGIONENDPOINT; S3 itself uses https',
    );
  return endpoint;
}

function readRegion(settings: Settings, endpoint: string | undefined): string {
  const setting = 'REGISTRY_STORAGE_S3_REGION';
  const region = settings.text(setting);
  if (region === undefined && endpoint === undefined)
    settings.fault(`${setting}: missing; name the bucket's region, such as eu-central-1`);
  else if (region !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9-]*$/.test(region))
    settings.fault(`${setting}: ${quoted(region)} is not a region, such as eu-central-1`);
  else if (region !== undefined && endpoint === undefined && !/^[a-z]{2,}(-[a-z]+)+-\d+$/.test(region))
    settings.fault(`${setting}: ${quoted(region)} is not a region of AWS, such as eu-central-1`);
  return region ?? 'us-east-1';
}

/** Without keys, the SDK uses its default credential providers. */
function readCredentials(settings: Settings): S3Credentials | undefined {
  const accessKeyId = settings.text('REGISTRY_STORAGE_S3_ACCESSKEY');
  const secretAccessKey = settings.text('REGISTRY_STORAGE_S3_SECRETKEY');
  const sessionToken = settings.text('REGISTRY_STORAGE_S3_SESSIONTOKEN');
  if (accessKeyId !== undefined && secretAccessKey !== undefined)
    return { accessKeyId, secretAccessKey, sessionToken };
  const missing =
    accessKeyId === undefined ? 'REGISTRY_STORAGE_S3_ACCESSKEY' : 'REGISTRY_STORAGE_S3_SECRETKEY';
  if (accessKeyId === undefined && secretAccessKey === undefined) {
    if (sessionToken !== undefined)
      settings.fault(
        'REGISTRY_STORAGE_S3_ACCESSKEY: missing, and REGISTRY_STORAGE_S3_SECRETKEY; REGISTRY_STORAGE_S3_SESSIONTOKEN has no effect without both',
      );
  } else settings.fault(`${missing}: missing, but the other key is set; set both, or none to use a role`);
  return undefined;
}

function readEncryption(settings: Settings): Pick<S3Options, 'encryption'> {
  const encrypt = settings.flag('REGISTRY_STORAGE_S3_ENCRYPT', false);
  const keyId = settings.text('REGISTRY_STORAGE_S3_KEYID');
  if (keyId !== undefined && !encrypt)
    settings.fault('REGISTRY_STORAGE_S3_KEYID: has no effect unless REGISTRY_STORAGE_S3_ENCRYPT is true');
  return encrypt ? { encryption: { keyId } } : {};
}

/** S3 copies objects above 5 GiB only in parts, of at least 5 MiB. */
function readCopy(settings: Settings): CopyOptions {
  return {
    threshold: settings.number('REGISTRY_STORAGE_S3_MULTIPARTCOPYTHRESHOLDSIZE', 'bytes', {
      min: 5 * MiB,
      max: 5 * GiB,
      fallback: GiB,
    }),
    partSize: settings.number('REGISTRY_STORAGE_S3_MULTIPARTCOPYCHUNKSIZE', 'bytes', {
      min: 5 * MiB,
      max: 5 * GiB,
      fallback: 256 * MiB,
    }),
    parallel: settings.number('REGISTRY_STORAGE_S3_MULTIPARTCOPYMAXCONCURRENCY', 'concurrent copies', {
      min: 1,
      max: 1000,
      fallback: 16,
    }),
  };
}

/** As in distribution, `NONE` is for servers without storage classes. */
function readStorageClass(settings: Settings): S3Options['storageClass'] {
  const named = settings.optionalChoice('REGISTRY_STORAGE_S3_STORAGECLASS', [...storageClasses, 'NONE']);
  return named === 'NONE' ? undefined : named;
}

function isR2(endpoint: string): boolean {
  return new URL(endpoint).hostname.endsWith('.r2.cloudflarestorage.com');
}
