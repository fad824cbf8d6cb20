import { secretName } from '../stack/secrets.ts';
import { applyPlan, whatExists } from './apply.ts';
import { finish } from './finish.ts';
import { Interrupted } from './interruption.ts';
import { hasChanges, type Plan } from './plan.ts';
import type { Run } from './run.ts';
import { readSecret } from './secret-store.ts';
import { findStack, stackName } from './stack.ts';
import { showPassword } from './summary.ts';

/** Deploys, and prints the password of a new user at the end, however that comes. @returns the exit code */
export async function carryOut(plan: Plan, run: Run): Promise<number> {
  try {
    const stack = hasChanges(plan) || plan.stack === undefined ? await applyPlan(plan, run) : plan.stack;
    return await finish(plan, stack, run);
  } catch (error) {
    // What was cut off fails with errors of its own.
    const reason: unknown = run.interrupted.reason;
    if (!(reason instanceof Interrupted)) throw error;
    console.error(`${reason.message} ${await explainRest(plan)}`);
    return reason.exitCode;
  } finally {
    await showUser(plan, run);
  }
}

async function explainRest({ target: { account, parameters } }: Plan): Promise<string> {
  const name = stackName(parameters.stage);
  const stack = await findStack(account, name).catch(() => undefined);
  const goesOn =
    stack?.status.endsWith('_IN_PROGRESS') === true ? 'CloudFormation goes on with what it has begun. ' : '';
  return goesOn + whatExists(parameters.stage, stack);
}

/** Unless the deployment failed before the user was stored: then the next one makes another one. */
async function showUser({ target, secrets: { user, secrets } }: Plan, { say }: Run): Promise<void> {
  if (user === undefined) return;
  const planned = secrets.find(({ kind }) => kind === 'htpasswd')?.rounds[0].version;
  const stored = await readSecret(target.account, secretName(target.parameters, 'htpasswd')).catch(
    () => undefined,
  );
  const isStored = stored === undefined || (stored.state === 'stored' && stored.version === planned);
  if (isStored) say(`\n${showPassword(user)}`);
}
