import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Collections } from './collections.ts';
import type { Clocks, Fleet } from './fleet.ts';
import { delayMs, fenceMs, marginMs } from './settings.ts';

/** Milliseconds from one harm to the next, at most. */
const pauseMs = 800;

/** Most are longer than a fence with its margin lasts, some longer than the delay. */
const longestStopMs = 2 * delayMs + fenceMs + marginMs;

/** Kills instances and collections, stops them for some time, and moves their clocks, at any moment. */
export class Harm {
  readonly #fleet: Fleet;
  readonly #collections: Collections;
  readonly #clocks: Clocks;
  readonly #random: Random;

  constructor(fleet: Fleet, collections: Collections, clocks: Clocks, random: Random) {
    this.#fleet = fleet;
    this.#collections = collections;
    this.#clocks = clocks;
    this.#random = random;
  }

  /** Until a signal, and until all that was stopped goes on. */
  async run(signal: AbortSignal): Promise<void> {
    const stops: Promise<void>[] = [];
    while (!signal.aborted) {
      await delay(this.#random.below(pauseMs));
      const kind = this.#random.below(20);
      const ms = this.#random.below(longestStopMs);
      if (kind < 3) await this.#fleet.replaceOne(this.#random);
      else if (kind < 8) stops.push(this.#fleet.freezeOne(this.#random, ms));
      else if (kind < 10) this.#collections.killOne(this.#random);
      else if (kind < 17) stops.push(this.#collections.freezeOne(this.#random, ms));
      else this.#clocks.moveOne();
    }
    this.#fleet.thawAll();
    this.#collections.thawAll();
    await Promise.all(stops);
  }
}
