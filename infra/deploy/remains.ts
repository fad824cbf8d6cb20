import type { Account } from './account.ts';
import { defaultBucket } from './bucket.ts';
import { recoveryDays } from './secret-store.ts';
import { readDeployed, type Stack } from './stack.ts';
import { functionsOf } from './template.ts';

/** Where the images of a stack are. */
export interface Images {
  readonly store: 's3' | 'scs';
  readonly bucket: string;
}

/** Undefined for a stack that was never completed. */
export async function findImages(account: Account, stack: Stack): Promise<Images | undefined> {
  const bucket = stack.outputs['Bucket'];
  if (bucket === undefined) return undefined;
  const { template } = await readDeployed(account, stack);
  const environments = functionsOf(template).map(
    ([, { Properties }]) =>
      Properties?.['Environment'] as { Variables?: Record<string, unknown> } | undefined,
  );
  const isScs = environments.some((environment) => environment?.Variables?.['REGISTRY_STORAGE'] === 'scs');
  return { store: isScs ? 'scs' : 's3', bucket };
}

/** What is left of a stage, and what can be done with it. */
export function showRemains(stage: string, account: Account, images: Images | undefined): string {
  const parts = [
    `The stage ${stage} is removed.`,
    ...(images === undefined ? [] : [showImages(stage, account, images)]),
    `Its secrets can be restored for ${recoveryDays} days, which a deployment does.`,
  ];
  return `\n${parts.join('\n\n')}`;
}

function showImages(stage: string, account: Account, { store, bucket }: Images): string {
  // Region, keys and what else there was to say of SCS are not known any more.
  if (store === 'scs')
    return `The images are in the bucket ${bucket} of SCS. A deployment with the same parameters serves them again.`;
  const named = bucket === defaultBucket(stage, account) ? '' : ` --param existingBucket=${bucket}`;
  const settings = `REGISTRY_STORAGE_S3_BUCKET=${bucket} REGISTRY_STORAGE_S3_REGION=${account.region}`;
  const commands = [
    [`npm run deploy -- --stage ${stage} --region ${account.region}${named}`, 'serve them again'],
    [`${settings} npm run serve`, 'serve them on one machine'],
    [`aws s3 rb --force s3://${bucket}`, 'delete them for good'],
  ] as const;
  const rows = commands.map(([command, what]) => `  # ${what}\n  ${command}`);
  return [`The images are in the bucket ${bucket}:`, '', ...rows].join('\n');
}
