import { HeadBucketCommand } from '@aws-sdk/client-s3';
import { defaultBucket, folderOf, storeOf } from '../stack/bucket.ts';
import type { Parameters } from '../stack/parameters.ts';
import type { Account } from './account.ts';
import type { Stack } from './stack.ts';
import type { Template } from './template.ts';

/** The bucket of the images, and what becomes of it. */
export interface Bucket {
  readonly name: string;
  readonly state: 'made' | 'kept' | 'taken' | 'of another store';
  /** With another store, bucket or folder than the deployed stack has: where its images are, and where they would be. */
  readonly moved: { readonly from: string; readonly to: string } | undefined;
  /** Parameters beside those that were given. */
  readonly overrides: Readonly<Record<string, string>>;
}

/**
 * Decides whether the stack makes the bucket. A removed stack leaves its bucket behind, which a later one then takes.
 * @throws Error if the bucket cannot be used
 */
export async function planBucket(
  account: Account,
  parameters: Parameters,
  deployed: { readonly stack: Stack | undefined; readonly template: Template | undefined },
): Promise<Bucket> {
  const bucket = await chooseBucket(account, parameters, deployed.template);
  const to = placeOf(storeOf(parameters), bucket.name, folderOf(parameters));
  const from = deployed.stack === undefined ? to : deployedPlace(deployed.stack, parameters, bucket.name);
  return { ...bucket, moved: from === to ? undefined : { from, to } };
}

/** A stack of an earlier version names only its bucket, and one that was never completed nothing. */
function deployedPlace({ outputs }: Stack, parameters: Parameters, name: string): string {
  const { Store = storeOf(parameters), Bucket = name, RootDirectory = folderOf(parameters) } = outputs;
  return placeOf(Store, Bucket, RootDirectory);
}

/** Such as `images/team/x (s3)`. */
function placeOf(store: string, bucket: string, folder: string): string {
  return `${bucket}${folder === '/' ? '' : folder} (${store})`;
}

async function chooseBucket(
  account: Account,
  { storage, scsBucket = '', existingBucket, bucket, stage }: Parameters,
  deployed: Template | undefined,
): Promise<Omit<Bucket, 'moved'>> {
  if (storage === 'scs') return { name: scsBucket, state: 'of another store', overrides: {} };
  const name = existingBucket ?? bucket ?? defaultBucket(stage, account.id);
  const isOwn = deployed?.Resources['Bucket'] !== undefined;
  if (isOwn && existingBucket === undefined) return { name, state: 'kept', overrides: {} };
  const exists = await bucketExists(account, name);
  if (existingBucket !== undefined && !exists)
    throw new Error(
      `existingBucket: there is no bucket ${name} in this account; correct the name, or let one be made with bucket`,
    );
  if (!exists) return { name, state: 'made', overrides: {} };
  return { name, state: 'taken', overrides: { bucket: '', existingBucket: name } };
}

/**
 * A name of a bucket is taken by who makes it first, in the whole world: so each request says whose it must be
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html).
 */
export function ownBucket(account: Account, name: string): { Bucket: string; ExpectedBucketOwner: string } {
  return { Bucket: name, ExpectedBucketOwner: account.id };
}

/** @throws Error if it is of another account, in another region, or cannot be read */
export async function bucketExists(account: Account, name: string): Promise<boolean> {
  const { s3, region } = account;
  try {
    const { BucketRegion } = await s3.send(new HeadBucketCommand(ownBucket(account, name)));
    if (BucketRegion !== undefined && BucketRegion !== region) throw elsewhere(name, BucketRegion);
    return true;
  } catch (error) {
    const status = statusOf(error);
    if (status === 404) return false;
    if (status === 403) throw new Error(await explainRefusal(account, name), { cause: error });
    if (status === 301 || status === 400) throw elsewhere(name, 'another region');
    throw error;
  }
}

/** 403 does not say whether the owner is wrong or a right is missing. */
async function explainRefusal({ s3, id }: Account, name: string): Promise<string> {
  const remedy = 'name another one with --param bucket=NAME, which is made, or existingBucket=NAME';
  const isReadable = await s3.send(new HeadBucketCommand({ Bucket: name })).then(
    () => true,
    () => false,
  );
  return isReadable
    ? `bucket: ${name} belongs to another account than ${id}, which could read and change all images; ${remedy}`
    : `bucket: ${name} belongs to another account, or these credentials lack s3:ListBucket on it; ${remedy}`;
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

function elsewhere(name: string, where: string): Error {
  return new Error(
    `bucket: ${name} is in ${where}; deploy there, or choose another name with --param bucket=NAME`,
  );
}
