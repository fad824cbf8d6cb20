import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Commands, Ended } from './commands.ts';
import type { Image } from './images.ts';
import type { Place } from './places.ts';
import { pullPlace, type World } from './worker.ts';

/** Of a command that is killed, or whose requests fail. */
const attempts = 8;

export interface Removed {
  /** Repositories that were deleted whole, and brought back. */
  removedRepositories: number;
  restoredRepositories: number;
}

export interface RemoverOptions {
  readonly commands: Commands;
  readonly isHarmed: boolean;
  /** Whether the storage refuses what a killed command left behind. */
  readonly isFenced: boolean;
  readonly removed: Removed;
}

/** Deletes repositories of its own whole, and brings some of them back. */
export class Remover {
  readonly #world: World;
  readonly #client: RegistryClient;
  readonly #random: Random;
  readonly #options: RemoverOptions;

  constructor(world: World, client: RegistryClient, random: Random, options: RemoverOptions) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
    this.#options = options;
  }

  /** Until a signal. */
  async run(signal: AbortSignal): Promise<void> {
    for (let i = 1; !signal.aborted; i++) {
      await this.#removeOnce(`removed/r${i}`, signal);
      await delay(this.#random.below(3000));
    }
  }

  async #removeOnce(repository: string, signal: AbortSignal): Promise<void> {
    const { places, images, delayMs } = this.#world;
    const pushed = new Map<Place, Image>();
    for (const tag of ['a', 'b', 'c']) {
      const place = places.add(repository, tag);
      const image = this.#random.one(images.images);
      pushed.set(place, image);
      places.beginPush(place, image);
      places.pushed(place, await this.#client.push(repository, image, tag));
    }
    if (signal.aborted || [...pushed.keys()].some(({ leftBehind }) => leftBehind)) return;
    for (const place of pushed.keys()) places.beginDelete(place);
    const { leftBehind } = await this.#persist(['delete', repository], 'there is no repository');
    for (const place of pushed.keys()) places.deleted(place, { leftBehind });
    if (leftBehind) return;
    this.#options.removed.removedRepositories++;
    for (const { name, reference } of pushed.keys())
      assert.equal(
        await this.#client.resolve(repository, reference),
        undefined,
        `${name}, which was deleted`,
      );
    if (this.#random.onceIn(2)) return;
    if (this.#random.onceIn(2)) await delay(this.#random.below(2 * delayMs));
    await this.#restore(repository, pushed);
  }

  async #restore(repository: string, pushed: ReadonlyMap<Place, Image>): Promise<void> {
    const { places } = this.#world;
    for (const [place, image] of pushed) places.beginPush(place, image);
    const { ended, leftBehind } = await this.#persist(['restore', repository], 'was restored already');
    for (const place of pushed.keys()) {
      // What was collected meanwhile does not come back.
      if (ended.code !== 0) places.doubt(place);
      else places.pushed(place, { leftBehind });
    }
    if (ended.code !== 0) return;
    this.#options.removed.restoredRepositories++;
    for (const place of pushed.keys()) await pullPlace(this.#client, place, false);
  }

  /**
   * Until it succeeds, or brings back what is left.
   * @param done what it says if an attempt that was killed had done all
   * @returns also whether an attempt may have left requests behind
   */
  async #persist(args: readonly string[], done: string): Promise<{ ended: Ended; leftBehind: boolean }> {
    const { commands, isHarmed, isFenced } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const ended = await commands.run(args);
      const isPartial = ended.errors.includes('their bytes were collected');
      const isDone = attempt > 1 && ended.errors.includes(done);
      if (ended.code === 0 || isPartial || isDone) return { ended, leftBehind: attempt > 1 && !isFenced };
      assert.ok(
        isHarmed && attempt < attempts,
        `stowage ${args.join(' ')} ended with ${ended.signal ?? ended.code}:\n${ended.errors}`,
      );
    }
  }
}
