import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { onVersitygw } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import { killsOf } from './kills.ts';
import { stoppedScenarios, stopsIn } from './stops.ts';
import { WatchedRuns } from './watched-runs.ts';

/** They mostly wait until fences have ended. */
const parallelRuns = 24;

/** Does each n-th of some things, from one that is chosen at random: `npm run kills:gc` does all. */
async function some(
  context: TestContext,
  every: number,
  acts: readonly (() => Promise<void>)[],
): Promise<void> {
  const first = randomInt(every);
  const chosen = acts.filter((_, i) => i % every === first);
  context.diagnostic(`${chosen.length} of ${acts.length}: each ${every}th from number ${first}`);
  assert.ok(chosen.length > 0);
  await inParallel(chosen, parallelRuns, async (act) => {
    await act();
  });
}

describe('stowage gc on versitygw', { ...requires('versitygw'), concurrency: 3 }, () => {
  let runs: WatchedRuns;

  before(async () => {
    runs = await WatchedRuns.start(onVersitygw);
  });

  after(async () => {
    await runs.stop();
  });

  for (const [kind, every] of [
    ['condemns', 7],
    ['deletes', 11],
  ] as const)
    it(`that ${kind} and is killed at a request harms nothing, and the next run completes its work`, async (context) => {
      await some(context, every, await killsOf(runs, kind));
    });

  it('that is stopped at a deletion until it can land no more leaves what was pushed meanwhile', async (context) => {
    await some(context, 5, await stopsIn(runs, stoppedScenarios[0]));
  });
});
