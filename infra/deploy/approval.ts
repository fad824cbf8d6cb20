import type { Bucket } from './bucket.ts';
import { loseImages, needConfirmation, type Change } from './changes.ts';
import { confirm, isAtTerminal } from './confirm.ts';
import { refusal } from './deploy-error.ts';
import type { Plan } from './plan.ts';

/**
 * Whether a plan may be carried out. At a terminal it asks, unless `yes`. Elsewhere `yes` is needed only where something is
 * replaced or removed.
 * @throws DeployError where nobody can be asked
 */
export async function approve(plan: Plan, yes: boolean, interrupted?: AbortSignal): Promise<boolean> {
  if (yes) return true;
  if (isAtTerminal()) return await confirm('Deploy this?', interrupted);
  const risky = needConfirmation(plan.changes);
  if (risky.length === 0) return true;
  throw refusal(
    'Nothing was changed, since this is replaced or removed; check it, and add --yes',
    risky.map(describe),
  );
}

/**
 * A registry without its images would look empty to all clients.
 * @throws DeployError
 */
export function refuseOtherBucket(stage: string, { moved }: Bucket): void {
  if (moved === undefined) return;
  throw refusal(lossOf(stage), [
    `they are in ${moved.from}, and it would look for them in ${moved.to}; set the parameters back, or copy the images first, run "npm run remove -- --stage ${stage}", which keeps the old bucket, and deploy again`,
  ]);
}

/**
 * The same bucket, but taken out of the stack or made anew.
 * @throws DeployError
 */
export function refuseLoss({ changes, target }: Plan): void {
  const lost = loseImages(changes);
  if (lost.length > 0) throw refusal(lossOf(target.parameters.stage), lost.map(describe));
}

function describe({ id, type, kind, properties }: Change): string {
  return `${id} (${type}) is ${kind}${properties.length > 0 ? `, since it has another ${properties.join(', ')}` : ''}`;
}

function lossOf(stage: string): string {
  return `Nothing was changed, since the stage ${stage} would lose its images`;
}
