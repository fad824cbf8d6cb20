import type { SigningScope } from './signature.ts';

/** A bucket, and what its address depends on. */
export interface BucketPlace {
  readonly bucket: string;
  readonly region: string;
  /** Base URL of a server. Default: AWS. */
  readonly endpoint?: string | undefined;
  /** Whether the bucket is in the URL's path rather than its host. */
  readonly forcePathStyle: boolean;
}

/** Where requests for a bucket go. */
export interface BucketEndpoint {
  /** Scheme, host and port. */
  readonly origin: string;
  /** What precedes the slash and the key in the path of an object; empty if the host names the bucket. */
  readonly path: string;
  readonly scope: SigningScope;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that change where the SDK finds a service, or name files that may ("Settings reference", AWS SDKs and Tools). */
const endpointVariables =
  /^AWS_(ENDPOINT_URL|USE_(FIPS|DUALSTACK)_ENDPOINT|PROFILE|CONFIG_FILE|SHARED_CREDENTIALS_FILE)$/;

/** Suffixes of hosts, by the beginning of a region. Other partitions of AWS need a country's permission. */
const suffixes: readonly (readonly [regions: RegExp, suffix: string])[] = [
  [/^cn-/, 'amazonaws.com.cn'],
  [/^(us|eu|ap|sa|ca|me|af|il|mx|us-gov)-(north|south|east|west|central)+-\d+$/, 'amazonaws.com'],
];

/**
 * The address of a bucket, if it follows without the SDK's rules: at an endpoint of its own, or in a function, which has no
 * files with settings. The SDK takes a fifth of a second to load.
 */
export function plainEndpoint(place: BucketPlace, environment: Environment): BucketEndpoint | undefined {
  const { bucket, region, endpoint } = place;
  // Directory buckets and those on Outposts are signed for another service.
  if (/--(x|op)-s3$/.test(bucket)) return undefined;
  if (endpoint !== undefined) return endpointAt(endpoint, place);
  const origin = plainOrigin('s3', 'S3', region, environment);
  return origin === undefined ? undefined : endpointAt(origin, place);
}

/**
 * The address of a service in a function, if it follows without the SDK's rules.
 * @param host the service in names of hosts, such as `s3`
 * @param variable the service in names of variables, such as `S3`
 */
export function plainOrigin(
  host: string,
  variable: string,
  region: string,
  environment: Environment,
): string | undefined {
  const [, suffix] = suffixes.find(([regions]) => regions.test(region)) ?? [];
  const isPlain =
    environment['AWS_LAMBDA_FUNCTION_NAME'] !== undefined &&
    environment[`AWS_ENDPOINT_URL_${variable}`] === undefined &&
    !Object.keys(environment).some((name) => endpointVariables.test(name));
  return isPlain && suffix !== undefined ? `https://${host}.${region}.${suffix}` : undefined;
}

/** "Virtual hosting of buckets" in the S3 User Guide. A certificate covers no names with further dots. */
function endpointAt(base: string, { bucket, region, forcePathStyle }: BucketPlace): BucketEndpoint {
  const { protocol, host, hostname, origin } = new URL(base);
  const scope = { region, service: 's3' };
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  if (forcePathStyle || isAddress || !/^[a-z\d][a-z\d-]*[a-z\d]$/.test(bucket))
    return { origin, path: `/${encodeURIComponent(bucket)}`, scope };
  return { origin: `${protocol}//${bucket}.${host}`, path: '', scope };
}
