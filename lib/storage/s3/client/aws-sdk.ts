import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { FindCredentials } from './credentials.ts';
import type { BucketEndpoint, BucketPlace } from './endpoint.ts';
import type { Credentials } from './signature.ts';

/*
 * What only the AWS SDK knows: its chain of credentials (environment, shared files, web identity, container, instance) and its
 * rules of endpoints (partitions, FIPS, both IP versions, kinds of buckets). It is loaded on demand.
 */

/** The SDK's chain. It finds credentials anew once those it has found have ended. */
export function chainOfCredentials({ region }: BucketPlace): FindCredentials {
  const { config } = new S3Client({ region });
  return async () => await config.credentials();
}

/**
 * Where the SDK finds a bucket: a URL that it signs says it all.
 * @param credentials any; nothing is sent
 */
export async function sdkEndpoint(
  { bucket, region, endpoint, forcePathStyle }: BucketPlace,
  credentials: Credentials,
): Promise<BucketEndpoint> {
  const client = new S3Client({
    region,
    forcePathStyle,
    ...(endpoint !== undefined && { endpoint }),
    credentials: { accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey },
    // Buckets of one zone would need a session, which costs a request.
    disableS3ExpressSessionAuth: true,
  });
  const key = 'key';
  const url = new URL(await getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key })));
  const [, , signedRegion = region, service = 's3'] = (url.searchParams.get('X-Amz-Credential') ?? '').split(
    '/',
  );
  return {
    origin: url.origin,
    path: url.pathname.slice(0, -`/${key}`.length),
    scope: { region: signedRegion, service },
  };
}
