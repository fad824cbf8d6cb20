import { after, before, describe, it } from 'node:test';
import { requires, type ServerName } from '../../servers/requires.ts';
import { startGround, type Ground, type GroundName } from '../grounds.ts';
import { collectionRound, type RoundOptions } from './round.ts';

/** Clients on several instances, which are killed and stopped as collections are, on one kind of storage. */
export function soakCollectionsOn(
  name: GroundName,
  needs: readonly ServerName[],
  options: Omit<RoundOptions, 'ground' | 'isHarmed'>,
): void {
  describe(`garbage collection on ${name}`, requires(...needs), () => {
    let ground: Ground;

    before(async () => {
      ground = await startGround(name);
    });

    after(async () => {
      await ground.stop();
    });

    it(`loses nothing of ${options.pushes} pushes beside deletes, kills and stops`, async () => {
      await collectionRound({ ...options, ground, isHarmed: true });
    });
  });
}
