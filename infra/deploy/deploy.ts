import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeployOptions } from '../../lib/commands/deploy.ts';
import { secretName } from '../stack/secrets.ts';
import { applyPlan } from './apply.ts';
import { approve, refuseOtherBucket } from './approval.ts';
import { explain } from './deploy-error.ts';
import { finish } from './finish.ts';
import { makePlan, planStoredSecrets, readState, type Plan } from './plan.ts';
import { readSecret, restoreSecret } from './secret-store.ts';
import { runBuild } from './serverless.ts';
import { showPlan } from './show-plan.ts';
import { showPassword } from './summary.ts';
import { openTarget, type Target } from './target.ts';

/** Runs `stowage deploy`. @returns the exit code */
export async function deploy(options: DeployOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-deploy-'));
  try {
    return await run(options, folder);
  } catch (error) {
    console.error(explain(error));
    return 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(
  { stage, region, parameters, dryRun, yes }: DeployOptions,
  folder: string,
): Promise<number> {
  const target = await openTarget({ stage, region, overrides: parameters });
  const first = await readState(target);
  refuseOtherBucket(stage, first.bucket);
  const secrets = await planStoredSecrets(target, first);
  say('Building …');
  await runBuild();
  const input = { overrides: parameters, folder };
  const plan = await makePlan(target, input, first, secrets);
  say(`\n${showPlan(plan)}\n`);
  if (dryRun) {
    say('This was a dry run: nothing was changed.');
    return 0;
  }
  if (hasChanges(plan) && !(await approve(plan, yes))) {
    say('Nothing was changed.');
    return 1;
  }
  return await carryOut(await restore(plan, input), folder);
}

function hasChanges({ changes, secrets, restores }: Plan): boolean {
  return changes.length + restores.length > 0 || secrets.secrets.some(({ note }) => note !== undefined);
}

/** Restores deleted secrets. Their values are known only then, and the plan depends on these. */
async function restore(plan: Plan, input: Parameters<typeof makePlan>[1]): Promise<Plan> {
  if (plan.restores.length === 0) return plan;
  const { account, parameters }: Target = plan.target;
  for (const kind of plan.restores) await restoreSecret(account, secretName(parameters, kind));
  const state = await readState(plan.target);
  return await makePlan(plan.target, input, state, await planStoredSecrets(plan.target, state));
}

/** Deploys, and prints the password of a new user at the end, however that comes. */
async function carryOut(plan: Plan, folder: string): Promise<number> {
  // Ctrl-C reaches osls, whose end then ends this program with what it has to say.
  const wait = () => {
    say('\nStopping …');
  };
  process.on('SIGINT', wait);
  try {
    const stack =
      hasChanges(plan) || plan.stack === undefined ? await applyPlan(plan, folder, say) : plan.stack;
    return await finish(plan, stack, say);
  } finally {
    process.off('SIGINT', wait);
    await showUser(plan);
  }
}

/** Unless the deployment failed before the user was stored: then the next one makes another one. */
async function showUser({ target, secrets: { user, secrets } }: Plan): Promise<void> {
  if (user === undefined) return;
  const planned = secrets.find(({ kind }) => kind === 'htpasswd')?.rounds[0].version;
  const stored = await readSecret(target.account, secretName(target.parameters, 'htpasswd')).catch(
    () => undefined,
  );
  const isStored = stored === undefined || (stored.state === 'stored' && stored.version === planned);
  if (isStored) say(`\n${showPassword(user)}`);
}

function say(text: string): void {
  console.log(text);
}
