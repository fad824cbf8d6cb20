import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { collectionModel, type Scenario } from './model.ts';
import { faultOfNextCollection, faultOfRetry } from './recovery.ts';
import { explored, rowOf, smallest } from './scenarios.ts';
import { explore, type Explored } from './state-space.ts';
import type { Omission } from './state.ts';

/** The scenario in which each rule of the protocol is needed. */
const needed: Readonly<Record<Omission, Scenario>> = {
  'the wait after a mark': smallest,
  'the second look': smallest,
  'links written since': { ...smallest, writers: ['push'] },
  'the record of a deletion': smallest,
  'the look at rescues': smallest,
  'the signature before the look at rescues': smallest,
  'the rescue by a push': smallest,
  'the wait for a deletion': smallest,
  'the look at the bytes after a rescue': smallest,
  'the look at the mark before a deletion': { ...smallest, writers: ['push'], collectors: 2 },
  'the wait before a mark is removed': { ...smallest, writers: ['push'], collectors: 2 },
  'the limit of a commit': smallest,
  'the record before the look at rescues': smallest,
  'the rescue of a blob with a new link': {
    ...smallest,
    writers: ['push', 'mount'],
    unlinks: 1,
    fromB: true,
  },
};

describe('the protocol of garbage collection', () => {
  for (const scenario of explored)
    it(`loses nothing, and each stop is cured by a retry and the next collection: ${rowOf(scenario)}`, (t) => {
      t.diagnostic(`${assertSafe(exploreWithRecovery(scenario))} states`);
    });

  for (const [omit, scenario] of Object.entries(needed) as [Omission, Scenario][])
    it(`needs ${omit}`, () => {
      assert.notEqual(explore(collectionModel({ ...scenario, omit })).fault, undefined);
    });
});

/** @returns the number of states */
function assertSafe({ states, fault }: Explored): number {
  assert.equal(fault, undefined, fault && `${fault.reason}:\n${fault.path.join('\n')}`);
  return states;
}

/** From each state, all others stop: once for a client that pushes again, and once for another collection. */
function exploreWithRecovery(scenario: Scenario): Explored {
  const model = collectionModel(scenario);
  return explore({
    ...model,
    fault: (state) => model.fault(state) ?? faultOfRetry(state) ?? faultOfNextCollection(state),
  });
}
