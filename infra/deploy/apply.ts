import { secretName } from '../stack/secrets.ts';
import { DeployError, messageOf } from './deploy-error.ts';
import { describeFailures, readFailures, remedyOf } from './failures.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { makePackage, serverlessInput, type Plan } from './plan.ts';
import { roundsOf, versionIn, type PlannedSecret } from './secrets.ts';
import { changedMeanwhile, createSecret, readSecret, writeSecret } from './secret-store.ts';
import type { Run } from './run.ts';
import { runServerless } from './serverless.ts';
import { findStack, stackName, type Stack } from './stack.ts';

/** Allowance for a clock that differs from that of AWS. */
const clockToleranceMs = 60_000;

/**
 * Writes the secrets and deploys, once for each round of the secrets. Each step may be repeated.
 * @param run whose folder has the packages of the first round
 * @throws DeployError
 */
export async function applyPlan(plan: Plan, run: Run): Promise<Stack> {
  const { interrupted, say } = run;
  const rounds = roundsOf(plan.secrets);
  for (let round = 0; round < rounds; round++) {
    const part = rounds > 1 ? ` ${round + 1} of ${rounds}` : '';
    await assertUnchanged(plan, round);
    for (const secret of plan.secrets.secrets) {
      interrupted.throwIfAborted();
      await writeRound(plan, secret, round);
    }
    interrupted.throwIfAborted();
    if (round > 0) await makePackage(plan, round, run);
    say(`Deploying${part} …${plan.stack === undefined ? ' A first deployment takes some minutes.' : ''}`);
    await deployRound(plan, round, run);
  }
  const { account, parameters } = plan.target;
  const stack = await findStack(account, stackName(parameters.stage));
  if (stack === undefined) throw new DeployError('The stack is gone; run the command again.');
  return stack;
}

/** A person may have taken long to say yes. @throws DeployError if another deployment has begun since the plan was made */
async function assertUnchanged({ target, stack, secrets }: Plan, round: number): Promise<void> {
  const { account, parameters } = target;
  if (round === 0) {
    const now = await findStack(account, stackName(parameters.stage));
    if (now?.status !== stack?.status || now?.changedAt !== stack?.changedAt)
      throw changedMeanwhile(`the stack ${stackName(parameters.stage)}`);
  }
  for (const secret of secrets.secrets) {
    const name = secretName(parameters, secret.kind);
    const stored = await readSecret(account, name);
    const version = stored.state === 'stored' ? stored.version : undefined;
    if (version !== versionBefore(secret, round)) throw changedMeanwhile(`the secret ${name}`);
  }
}

/** What is stored before a round; undefined for nothing. */
function versionBefore(secret: PlannedSecret, round: number): string | undefined {
  return round === 0 ? secret.storedVersion : versionIn(secret, round - 1).version;
}

async function writeRound({ target }: Plan, secret: PlannedSecret, round: number): Promise<void> {
  const { text, version } = versionIn(secret, round);
  const before = versionBefore(secret, round);
  if (version === before) return;
  const value = { name: secretName(target.parameters, secret.kind), text, version };
  if (before === undefined) await createSecret(target.account, value);
  else await writeSecret(target.account, value);
}

async function deployRound(plan: Plan, round: number, { folder, interrupted }: Run): Promise<void> {
  const startedAt = new Date(Date.now() - clockToleranceMs);
  try {
    // osls copies its packages into .serverless before it uploads them.
    await oneAtATime(async () => {
      await runServerless('deploy', serverlessInput(plan, round, folder), interrupted);
    });
  } catch (error) {
    interrupted.throwIfAborted();
    throw new DeployError(await explainFailure(plan, messageOf(error), startedAt), { cause: error });
  }
}

/** What CloudFormation says, or else osls, and what exists now. */
async function explainFailure({ target }: Plan, message: string, since: Date): Promise<string> {
  const { account, parameters } = target;
  const name = stackName(parameters.stage);
  // What went wrong may also prevent these.
  const stack = await findStack(account, name).catch(() => undefined);
  const failures = stack === undefined ? [] : await readFailures(account, name, since).catch(() => []);
  const remedy = remedyOf(message);
  const reasons =
    failures.length > 0
      ? describeFailures(failures)
      : `  ${message.replaceAll('\n', '\n  ')}${remedy === undefined ? '' : `\n    → ${remedy}`}`;
  return `The deployment failed:\n${reasons}\n\n${whatExists(parameters.stage, stack)}`;
}

/** What a failed deployment leaves behind, and how to go on. */
export function whatExists(stage: string, stack: Stack | undefined): string {
  const state =
    stack === undefined ? 'There is no stack' : `There is the stack ${stack.name} (${stack.status})`;
  const busy =
    stack?.status.endsWith('_IN_PROGRESS') === true ? ' once the stack is not in progress any more' : '';
  return `${state}, and there are secrets below stowage/${stage}/. The same command continues${busy}; "npm run remove -- --stage ${stage}" removes what is there, but for images.`;
}
