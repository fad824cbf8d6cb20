import {
  DeleteStackCommand,
  DescribeStackResourceCommand,
  waitUntilStackDeleteComplete,
} from '@aws-sdk/client-cloudformation';
import { DeleteObjectsCommand, ListObjectVersionsCommand, type ObjectIdentifier } from '@aws-sdk/client-s3';
import type { RemoveOptions } from '../../lib/commands/remove.ts';
import { secretName } from '../stack/secrets.ts';
import { stageFault } from '../stack/parameters.ts';
import { findRegion, openAccount, type Account } from './account.ts';
import { ownBucket } from './bucket.ts';
import { packagesBucket } from './changes.ts';
import { confirm, isAtTerminal } from './confirm.ts';
import { DeployError, explain } from './deploy-error.ts';
import { describeFailures, readFailures } from './failures.ts';
import { findImages, showRemains } from './remains.ts';
import { deleteSecret, recoveryDays } from './secret-store.ts';
import { secretKinds } from './secrets.ts';
import { findStack, readTemplate, stackName, type Stack } from './stack.ts';

/** Seconds for the whole stack; a network interface of a function in a VPC alone takes up to 20 minutes. */
const removalTimeoutS = 60 * 60;

/** Runs `stowage remove`. @returns the exit code */
export async function remove(options: RemoveOptions): Promise<number> {
  try {
    return await run(options);
  } catch (error) {
    console.error(explain(error));
    return 1;
  }
}

async function run({ stage, region, yes }: RemoveOptions): Promise<number> {
  const fault = stageFault(stage);
  if (fault !== undefined) throw new DeployError(`stage: ${fault}`);
  const account = await openAccount(await findRegion(region));
  const stack = await findStack(account, stackName(stage));
  if (stack !== undefined) await readTemplate(account, stack);
  const images = stack === undefined ? undefined : await findImages(account, stack);
  console.log(`Account  ${account.id} (${account.caller})
Region   ${account.region}
Stage    ${stage}: ${stack === undefined ? 'there is no stack' : `the stack ${stack.name} (${stack.status})`}
Images   ${images === undefined ? 'none are known' : `stay in the bucket ${images.bucket}`}
Secrets  ${stack === undefined ? 'any that are' : 'those'} below stowage/${stage}/ are deleted after ${recoveryDays} days
`);
  if (!yes && !isAtTerminal())
    throw new DeployError('Nothing was changed: add --yes to remove this without being asked.');
  if (!yes && !(await confirm(`Remove the stage ${stage}?`))) {
    console.log('Nothing was changed.');
    return 1;
  }
  if (stack !== undefined) await removeStack(account, stack);
  const deleted = await deleteSecrets(account, stage);
  if (stack === undefined && !deleted) {
    console.log(`There is nothing of the stage ${stage} in the region ${account.region}.`);
    return 1;
  }
  console.log(showRemains(stage, account, { images, withSecrets: deleted }));
  return 0;
}

async function removeStack(account: Account, { name }: Stack): Promise<void> {
  const { cloudformation } = account;
  const startedAt = new Date(Date.now() - 60_000);
  console.log('Removing …');
  await emptyPackages(account, name);
  await cloudformation.send(new DeleteStackCommand({ StackName: name }));
  try {
    const waiter = { client: cloudformation, maxWaitTime: removalTimeoutS, minDelay: 2, maxDelay: 15 };
    await waitUntilStackDeleteComplete(waiter, { StackName: name });
  } catch (error) {
    const failures = await readFailures(account, name, startedAt);
    if (failures.length === 0) throw error;
    throw new DeployError(
      `The removal failed:\n${describeFailures(failures)}\n\nThe same command continues it.`,
      { cause: error },
    );
  }
}

/** CloudFormation removes only empty buckets. */
async function emptyPackages(account: Account, stack: string): Promise<void> {
  const { cloudformation, s3 } = account;
  const resource = { StackName: stack, LogicalResourceId: packagesBucket };
  const Bucket = await cloudformation.send(new DescribeStackResourceCommand(resource)).then(
    ({ StackResourceDetail }) => StackResourceDetail?.PhysicalResourceId,
    () => undefined,
  );
  if (Bucket === undefined) return;
  for (;;) {
    // Until none is left: what is listed is deleted.
    const Objects = await listVersions(account, Bucket);
    if (Objects.length === 0) return;
    const { Errors: [first] = [] } = await s3.send(
      new DeleteObjectsCommand({ ...ownBucket(account, Bucket), Delete: { Objects, Quiet: true } }),
    );
    if (first !== undefined)
      throw new DeployError(
        `The bucket ${Bucket} of packages cannot be emptied: ${first.Message ?? first.Code ?? ''}`,
      );
  }
}

/** At most 1,000. */
async function listVersions(account: Account, bucket: string): Promise<ObjectIdentifier[]> {
  try {
    const { Versions = [], DeleteMarkers = [] } = await account.s3.send(
      new ListObjectVersionsCommand(ownBucket(account, bucket)),
    );
    return [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
  } catch (error) {
    if ((error as Error).name === 'NoSuchBucket') return [];
    throw error;
  }
}

/** @returns whether there was any */
async function deleteSecrets(account: Account, stage: string): Promise<boolean> {
  const deleted = secretKinds.map(async (kind) => await deleteSecret(account, secretName({ stage }, kind)));
  return (await Promise.all(deleted)).includes(true);
}
