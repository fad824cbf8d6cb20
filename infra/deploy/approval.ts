import { loseImages, needConfirmation } from './changes.ts';
import { confirm, isAtTerminal } from './confirm.ts';
import { refusal } from './deploy-error.ts';
import type { Plan } from './plan.ts';
import { showChanges } from './show-plan.ts';

/**
 * Whether a plan may be carried out. At a terminal it asks, unless `yes`. Elsewhere `yes` is needed only where something is
 * replaced or removed.
 * @throws DeployError where it may not, whatever is answered
 */
export async function approve(plan: Plan, yes: boolean): Promise<boolean> {
  refuseLoss(plan);
  if (yes) return true;
  if (isAtTerminal()) return await confirm('Deploy this?');
  const risky = needConfirmation(plan.changes);
  if (risky.length === 0) return true;
  throw refusal('Nothing was changed, since this is replaced or removed; check it, and add --yes', [
    ...showChanges(risky).map((line) => line.trim()),
  ]);
}

/** A registry without its images would look empty to all clients. */
function refuseLoss({ changes, target, bucket }: Plan): void {
  const { stage } = target.parameters;
  const lost = loseImages(changes);
  if (lost.length === 0 && bucket.insteadOf === undefined) return;
  throw refusal(`Nothing was changed, since the stage ${stage} would lose its images`, [
    ...showChanges(lost).map((line) => line.trim()),
    ...(bucket.insteadOf === undefined
      ? []
      : [
          `it has the bucket ${bucket.insteadOf}, and would get ${bucket.name}; copy the images there first, run "npm run remove -- --stage ${stage}", which keeps the old bucket, and deploy again`,
        ]),
  ]);
}
