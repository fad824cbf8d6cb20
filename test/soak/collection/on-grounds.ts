import { after, before, describe, it } from 'node:test';
import { requires, type ServerName } from '../../servers/requires.ts';
import { startGround, type Ground, type GroundName } from '../grounds.ts';
import { collectionRound, type RoundOptions } from './round.ts';

/** Clients on several instances, beside collections, on one kind of storage. */
export function soakCollectionsOn(
  name: GroundName,
  needs: readonly ServerName[],
  ...rounds: readonly Omit<RoundOptions, 'ground'>[]
): void {
  describe(`garbage collection on ${name}`, requires(...needs), () => {
    let ground: Ground;

    before(async () => {
      ground = await startGround(name);
    });

    after(async () => {
      await ground.stop();
    });

    for (const options of rounds)
      it(titleOf(options), async () => {
        await collectionRound({ ...options, ground });
      });
  });
}

function titleOf({ pushes, isHarmed }: Omit<RoundOptions, 'ground'>): string {
  return isHarmed
    ? `loses nothing of ${pushes} pushes beside deletes, kills and stops`
    : `answers no request of ${pushes} pushes with an error, and loses nothing`;
}
