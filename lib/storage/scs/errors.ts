import { ScsError } from './client/errors.ts';
import { bucketError, bucketHint, summaryOf } from '../bucket-errors.ts';
import { StoreError } from '../store.ts';

/** Where a request went. */
interface ScsPlace {
  readonly bucket: string;
  /** Undefined if the endpoint was configured itself. */
  readonly region: string | undefined;
  readonly endpoint: string;
}

/** Runs requests to the bucket. @throws StoreError about `key` */
export async function onBucket<T>(place: ScsPlace, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error, key, place);
  }
}

/** The registry's error for a failed request. */
function storeError(error: unknown, key: string, place: ScsPlace): StoreError {
  if (error instanceof StoreError) return error;
  const failure = error instanceof ScsError ? error : new ScsError('Error', String(error));
  return bucketError(key, failure.code, new Error(summaryOf('SCS', failure)), {
    bucket: place.bucket,
    hint: hintFor(failure, place),
    isOfObject: failure.code === 'AccessDenied' || failure.code === 'HTTP403',
  });
}

/** What is wrong and which setting fixes it. */
function hintFor({ code, status, type }: ScsError, { bucket, region, endpoint }: ScsPlace): string {
  const setting = `REGISTRY_STORAGE_SCS_${region === undefined ? 'REGIONENDPOINT' : 'REGION'}`;
  switch (code) {
    case 'AccessDenied':
    case 'HTTP403':
      return `access denied; the keys must be of an account that may list, read and write ${bucket}`;
    case 'TooManyRedirects':
    case 'InvalidRedirect':
    case 'HTTP301':
    case 'HTTP302':
    case 'HTTP307':
      return `${endpoint} redirects to a region that cannot be reached; check ${setting}`;
  }
  const hint = bucketHint(code, { place: endpoint, setting, prefix: 'REGISTRY_STORAGE_SCS' });
  if (hint !== undefined) return hint;
  const isForeign =
    code === 'NotScs' || (code.startsWith('HTTP') && type !== undefined && !type.includes('xml'));
  return isForeign
    ? `${endpoint} answered ${status ?? 'nothing'}${type === undefined ? '' : ` with ${type}`}, which is not how SCS answers; check ${setting}`
    : `${endpoint} answered ${status ?? 'nothing'} (${code}); look at its own log, or check ${setting}`;
}
