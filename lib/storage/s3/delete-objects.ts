import { hash } from 'node:crypto';
import { FenceEnded, StoreUnavailable, type Fence } from '../store.ts';
import type { S3Bucket } from './bucket.ts';
import type { WholeResponse } from './client/client.ts';
import { responseTimeMs } from './client/response-time.ts';
import { elementsOf, escapeXml, textOf } from './client/xml.ts';
import { fenced, type ChangeRequest } from './fenced.ts';

/** Most keys of one DeleteObjects. */
const maxDeleted = 1000;

interface DeleteOptions {
  readonly fence?: Fence | undefined;
  readonly isCommit?: boolean | undefined;
  /** Sends it also when the fence is known to have ended, which has the usual time. */
  readonly isProbe?: boolean;
}

/** See `ObjectWriter.delete`. */
export async function deleteObjects(
  bucket: S3Bucket,
  keys: readonly string[],
  options: DeleteOptions,
): Promise<void> {
  const full = keys.map((key) => bucket.root.fullKey(key));
  for (let i = 0; i < full.length; i += maxDeleted)
    await deleteBatch(bucket, full.slice(i, i + maxDeleted), options);
}

async function deleteBatch(
  bucket: S3Bucket,
  keys: readonly string[],
  { fence, isCommit = false, isProbe = false }: DeleteOptions,
): Promise<void> {
  const first = bucket.root.ownKey(keys[0] ?? '');
  const request = fenced(requestFor(keys), fence, isProbe ? { isProbe } : bucket.options);
  // Whoever gave it the fence of a deletion must know whether it can still land.
  const response = await bucket.send(first, { ...request, once: fence !== undefined && !isCommit });
  const errors = elementsOf(response.body.toString(), 'Error');
  const failed = errors.find((error) => textOf(error, 'Code') !== 'NoSuchKey');
  if (failed === undefined) return;
  const key = bucket.root.ownKey(textOf(failed, 'Key') ?? first);
  // MinIO looks at the signature for each key.
  if (isLate(response, request)) throw new FenceEnded(key);
  throw new StoreUnavailable(
    key,
    `the bucket did not delete ${errors.length} of ${keys.length} objects: ${textOf(failed, 'Code') ?? 'no reason given'}`,
  );
}

function isLate({ headers }: WholeResponse, { validity }: ChangeRequest): boolean {
  if (validity === undefined) return false;
  return (responseTimeMs(headers) ?? 0) >= validity.fromMs + validity.expiresIn * 1000;
}

function requestFor(keys: readonly string[]): ChangeRequest {
  const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('');
  const body = Buffer.from(`<Delete><Quiet>true</Quiet>${objects}</Delete>`);
  return {
    operation: 'DeleteObjects',
    method: 'POST',
    query: { delete: '' },
    // It must carry a checksum, and all servers know this one (RFC 1864; "Checking object integrity", S3 User Guide).
    headers: { 'content-type': 'application/xml', 'content-md5': hash('md5', body, 'base64') },
    body,
  };
}
