import type { StorageConfig } from '../config/storage.ts';
import { registryPrefix } from '../registry/layout.ts';
import { StoreUnavailable, type NoncurrentVersions, type ObjectStore } from '../storage/store.ts';
import { count, reasonOf } from './command.ts';
import { size } from '../protocol/sizes.ts';

/** What a bucket keeps of what is deleted or written again. */
export interface KeptVersions {
  /** Undefined where the store has no versions. */
  readonly keeps: boolean | 'unknown' | undefined;
  /** Undefined if they were not counted. */
  readonly noncurrent?: NoncurrentVersions;
  /** Why they were not counted, as a sentence. */
  readonly problem?: string;
}

/** Days after which the rule that is suggested removes them. */
const noncurrentDays = 7;

/** Counts noncurrent versions where a bucket keeps them, and asks for nothing else. @param onListed is told how many were listed */
export async function readKeptVersions(
  store: ObjectStore,
  onListed: (versions: number) => void,
): Promise<KeptVersions> {
  if (store.keepsVersions === undefined) return { keeps: undefined };
  const keeps = (await store.keepsVersions()) ?? 'unknown';
  if (keeps !== true || store.noncurrentVersions === undefined) return { keeps };
  try {
    return { keeps, noncurrent: await store.noncurrentVersions(registryPrefix, onListed) };
  } catch (error) {
    // What else was found is right all the same.
    if (!(error instanceof StoreUnavailable)) throw error;
    return { keeps, problem: reasonOf(error) };
  }
}

export function jsonOfVersions({ keeps, noncurrent, problem }: KeptVersions) {
  return {
    keepsVersions: typeof keeps === 'boolean' ? keeps : null,
    noncurrent: noncurrent ?? null,
    noncurrentProblem: problem ?? null,
  };
}

/** Says what versions take, and what removes them. */
export function printVersions({ keeps, noncurrent, problem }: KeptVersions, storage: StorageConfig): void {
  if (keeps === 'unknown')
    console.log(
      'The bucket does not tell whether it keeps versions (s3:GetBucketVersioning), so noncurrent versions are not counted.',
    );
  if (keeps !== true) return;
  console.log(
    'The bucket keeps versions: what is deleted takes space until a lifecycle rule expires noncurrent versions.',
  );
  if (noncurrent === undefined) console.log(`They are not counted: ${problem ?? 'the store cannot.'}`);
  else
    console.log(
      `${count(noncurrent.versions, 'noncurrent version')} with ${size(noncurrent.bytes)}, and ` +
        `${count(noncurrent.deleteMarkers, 'delete marker')}, beside the bytes above`,
    );
  if (storage.kind === 's3') for (const line of lifecycleAdvice(storage)) console.log(line);
}

function lifecycleAdvice({
  bucket,
  endpoint,
  rootDirectory,
}: Extract<StorageConfig, { kind: 's3' }>): string[] {
  const place = `--bucket ${bucket}${endpoint === undefined ? '' : ` --endpoint-url ${endpoint}`}`;
  const prefix = `${rootDirectory === '' ? '' : `${rootDirectory}/`}${registryPrefix}`;
  const rule = {
    ID: 'stowage-noncurrent',
    Status: 'Enabled',
    Filter: { Prefix: prefix },
    NoncurrentVersionExpiration: { NoncurrentDays: noncurrentDays },
    Expiration: { ExpiredObjectDeleteMarker: true },
  };
  const json = JSON.stringify({ Rules: [rule] }).replaceAll("'", "'\\''");
  return [
    `This rule expires them after ${noncurrentDays} days. The second command replaces all rules of the bucket: if the first shows some, add them.`,
    `  aws s3api get-bucket-lifecycle-configuration ${place}`,
    `  aws s3api put-bucket-lifecycle-configuration ${place} --lifecycle-configuration '${json}'`,
  ];
}
