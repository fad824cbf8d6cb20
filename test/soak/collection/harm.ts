import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Clocks } from './clocks.ts';
import type { Commands } from './commands.ts';
import type { Fleet } from './fleet.ts';
import { delayMs, fenceMs, marginMs } from './settings.ts';

/** Milliseconds from one harm to the next, at most. */
const pauseMs = 800;

/** Most are longer than a fence with its margin lasts, some longer than the delay. */
const longestStopMs = 2 * delayMs + fenceMs + marginMs;

/** What harm may come to. */
export interface Victims {
  readonly fleet: Fleet;
  readonly collections: Commands;
  /** Commands of an operator. */
  readonly operations: Commands;
  readonly clocks: Clocks;
}

/**
 * Kills and stops instances and commands, and moves their clocks, at any moment, or on a bucket at any request: which then comes late, or
 * never.
 */
export class Harm {
  readonly #victims: Victims;
  readonly #random: Random;

  constructor(victims: Victims, random: Random) {
    this.#victims = victims;
    this.#random = random;
  }

  /** Until a signal. All that was stopped goes on then. */
  async run(signal: AbortSignal): Promise<void> {
    const { fleet, collections, operations, clocks } = this.#victims;
    const random = this.#random;
    while (!signal.aborted) {
      await delay(random.below(pauseMs));
      const kind = random.below(20);
      const ms = random.below(longestStopMs);
      if (kind < 3) await fleet.replaceOne(random, ms);
      else if (kind < 8) fleet.freezeOne(random, ms);
      else if (kind < 11) collections.killOne(random, ms);
      else if (kind < 15) collections.freezeOne(random, ms);
      else if (kind < 16) operations.killOne(random, ms);
      else if (kind < 17) operations.freezeOne(random, ms);
      else clocks.moveOne();
    }
    fleet.thawAll();
    collections.thawAll();
    operations.thawAll();
    await fleet.settled();
  }
}
