import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeployOptions } from '../../lib/commands/deploy.ts';
import { secretName } from '../stack/secrets.ts';
import { approve, refuseLoss, refuseOtherBucket } from './approval.ts';
import { carryOut } from './carry-out.ts';
import { explain } from './deploy-error.ts';
import { Interrupted, untilInterrupted } from './interruption.ts';
import { hasChanges, makePlan, planStoredSecrets, readState, type Plan } from './plan.ts';
import type { Run } from './run.ts';
import { restoreSecret } from './secret-store.ts';
import { runBuild } from './serverless.ts';
import { showPlan } from './show-plan.ts';
import { openTarget, type Target } from './target.ts';

/** Runs `stowage deploy`. @returns the exit code */
export async function deploy(options: DeployOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-deploy-'));
  try {
    return await untilInterrupted(async (interrupted) => await run(options, { folder, interrupted, say }));
  } catch (error) {
    console.error(explain(error));
    return error instanceof Interrupted ? error.exitCode : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function run({ stage, region, parameters, dryRun, yes }: DeployOptions, program: Run): Promise<number> {
  const { interrupted } = program;
  const target = await openTarget({ stage, region, overrides: parameters });
  const first = await readState(target);
  refuseOtherBucket(stage, first.bucket);
  const secrets = await planStoredSecrets(target, first);
  say('Building …');
  await runBuild(interrupted);
  const input = { overrides: parameters, run: program };
  const plan = await makePlan(target, input, first, secrets);
  say(`\n${showPlan(plan)}\n`);
  refuseLoss(plan);
  if (dryRun) {
    say('This was a dry run: nothing was changed.');
    return 0;
  }
  if (hasChanges(plan) && !(await approve(plan, yes, interrupted))) {
    say('Nothing was changed.');
    return 1;
  }
  interrupted.throwIfAborted();
  return await carryOut(await restore(plan, input), program);
}

/** Restores deleted secrets. Their values are known only then, and the plan depends on these. */
async function restore(plan: Plan, input: Parameters<typeof makePlan>[1]): Promise<Plan> {
  if (plan.restores.length === 0) return plan;
  const { account, parameters }: Target = plan.target;
  for (const kind of plan.restores) await restoreSecret(account, secretName(parameters, kind));
  const state = await readState(plan.target);
  return await makePlan(plan.target, input, state, await planStoredSecrets(plan.target, state));
}

function say(text: string): void {
  console.log(text);
}
