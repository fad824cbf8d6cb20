import { defaultBucket } from '../stack/bucket.ts';
import type { Account } from './account.ts';
import { recoveryDays } from './secret-store.ts';
import { readDeployed, type Stack } from './stack.ts';
import { functionsOf } from './template.ts';

/** Where the images of a stack are. */
export interface Images {
  readonly store: 's3' | 'scs';
  readonly bucket: string;
  /** Without slashes at either end; empty for the whole bucket. */
  readonly rootDirectory: string;
  /** Whether the stack made the bucket. Another one may have more than these images, and other users. */
  readonly isOwn: boolean;
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
  const rootDirectory = (stack.outputs['RootDirectory'] ?? '/').slice(1);
  const isOwn = template.Resources['Bucket'] !== undefined;
  return { store: isScs ? 'scs' : 's3', bucket, rootDirectory, isOwn };
}

/** What is left of a stage, and what can be done with it. */
export function showRemains(
  stage: string,
  account: Pick<Account, 'id' | 'region'>,
  { images, withSecrets }: { images: Images | undefined; withSecrets: boolean },
): string {
  const parts = [
    `The stage ${stage} is removed.`,
    ...(images === undefined ? [] : [showImages(stage, account, images)]),
    ...(withSecrets
      ? [`Its secrets can be restored for ${recoveryDays} days, which a deployment does.`]
      : []),
  ];
  return `\n${parts.join('\n\n')}`;
}

function showImages(stage: string, account: Pick<Account, 'id' | 'region'>, images: Images): string {
  const { store, bucket, rootDirectory, isOwn } = images;
  // Region, keys and what else there was to say of SCS are not known any more.
  if (store === 'scs')
    return `The images are in the bucket ${bucket} of SCS. A deployment with the same parameters serves them again.`;
  const named = bucket === defaultBucket(stage, account.id) ? '' : ` --param existingBucket=${bucket}`;
  const folder = rootDirectory === '' ? '' : ` REGISTRY_STORAGE_S3_ROOTDIRECTORY=${rootDirectory}`;
  const settings = `REGISTRY_STORAGE_S3_BUCKET=${bucket} REGISTRY_STORAGE_S3_REGION=${account.region}${folder}`;
  const commands = [
    [
      `npm run deploy -- --stage ${stage} --region ${account.region}${named}`,
      'serve them again, with the parameters that the stage had',
    ],
    [`${settings} npm run serve`, 'serve them on one machine'],
    ...(isOwn ? [[`aws s3 rb --force s3://${bucket}`, 'delete them for good'] as const] : []),
  ] as const;
  const rows = commands.map(([command, what]) => `  # ${what}\n  ${command}`);
  return [`The images are in the bucket ${bucket}:`, '', ...rows].join('\n');
}
