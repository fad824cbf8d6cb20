import { join } from 'node:path';
import { secretName, type SecretKind } from '../stack/secrets.ts';
import { cannotDeploy, messageOf } from './deploy-error.ts';
import { planBucket, type Bucket } from './bucket.ts';
import { compare, type Change } from './changes.ts';
import {
  derivedParameters,
  neededSecrets,
  planSecrets,
  secretKinds,
  type SecretsPlan,
  type StoredSecrets,
} from './secrets.ts';
import { readSecret } from './secret-store.ts';
import type { Run } from './run.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { runServerless, type ServerlessInput } from './serverless.ts';
import { findStack, readDeployed, stackName, statusFault, type Stack } from './stack.ts';
import type { Target } from './target.ts';
import { readPackage, type Package, type Template } from './template.ts';

/** What a deployment is about to do. */
export interface Plan {
  readonly target: Target;
  /** Undefined before the first deployment. */
  readonly stack: Stack | undefined;
  readonly bucket: Bucket;
  readonly secrets: SecretsPlan;
  /** Secrets that an earlier removal has deleted; their values are known after they are restored. */
  readonly restores: readonly SecretKind[];
  /** What the first of its deployments changes. */
  readonly changes: readonly Change[];
  /** What is deployed, with the code. */
  readonly template: Template;
  /** Parameters of the command line, with those of the bucket. */
  readonly overrides: Readonly<Record<string, string>>;
}

export function hasChanges({ changes, secrets, restores }: Plan): boolean {
  return changes.length + restores.length > 0 || secrets.secrets.some(({ note }) => note !== undefined);
}

export interface PlanInput {
  /** Parameters of the command line. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly run: Run;
}

/** What is there. */
export interface Deployed {
  readonly stack: Stack | undefined;
  readonly package: Package | undefined;
  readonly bucket: Bucket;
  readonly stored: StoredSecrets;
}

/** Looks at all that is there. @throws DeployError with all faults */
export async function readState(target: Target): Promise<Deployed> {
  const { account, parameters } = target;
  const stack = await findStack(account, stackName(parameters.stage));
  const faults: string[] = [];
  const fault =
    stack === undefined ? undefined : statusFault(stack, `npm run remove -- --stage ${parameters.stage}`);
  if (fault !== undefined) faults.push(fault);
  const isDeployed = stack !== undefined && fault === undefined;
  const deployed = isDeployed ? await readDeployed(account, stack) : undefined;
  const bucket = await planBucket(account, parameters, { stack, template: deployed?.template }).catch(
    (error: unknown) => {
      faults.push(messageOf(error));
      return undefined;
    },
  );
  if (bucket === undefined || faults.length > 0) throw cannotDeploy(parameters.stage, faults);
  return { stack, package: deployed, bucket, stored: await readSecrets(target) };
}

async function readSecrets({ account, parameters: { stage } }: Target): Promise<StoredSecrets> {
  const entries = secretKinds.map(async (kind) => [
    kind,
    await readSecret(account, secretName({ stage }, kind)),
  ]);
  return Object.fromEntries(await Promise.all(entries)) as StoredSecrets;
}

/** @throws DeployError if a secret is missing or wrong */
export async function planStoredSecrets(
  { parameters }: Target,
  { stack, stored }: Deployed,
): Promise<SecretsPlan> {
  const isDeployed = stack !== undefined;
  const plan = await planSecrets({ parameters, stored, environment: process.env, isDeployed });
  if (plan.faults.length > 0) throw cannotDeploy(parameters.stage, plan.faults);
  return plan;
}

/** Packages the first deployment and compares it with what is there. */
export async function makePlan(
  target: Target,
  { overrides, run }: PlanInput,
  deployed: Deployed,
  secrets: SecretsPlan,
): Promise<Plan> {
  const { bucket, stack, stored } = deployed;
  const plan = { target, stack, bucket, secrets, overrides: { ...overrides, ...bucket.overrides } };
  const packaged = await makePackage(plan, 0, run);
  const restores = neededSecrets(target.parameters).filter((kind) => stored[kind].state === 'deleted');
  return { ...plan, restores, changes: compare(deployed.package, packaged), template: packaged.template };
}

/** @param round of the secrets */
export async function makePackage(
  plan: Pick<Plan, 'target' | 'secrets' | 'overrides'>,
  round: number,
  { folder, interrupted }: Run,
): Promise<Package> {
  const input = serverlessInput(plan, round, folder);
  await oneAtATime(async () => {
    await runServerless('package', input, interrupted);
  });
  return await readPackage(input.folder);
}

export function serverlessInput(
  { target, secrets, overrides }: Pick<Plan, 'target' | 'secrets' | 'overrides'>,
  round: number,
  folder: string,
): ServerlessInput {
  const { stage, region } = target.parameters;
  const parameters = { ...overrides, ...derivedParameters(secrets, round) };
  return { stage, region, parameters, folder: join(folder, String(round)) };
}
