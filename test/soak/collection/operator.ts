import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Commands, Ended } from './commands.ts';
import type { Image } from './images.ts';
import type { Place } from './places.ts';
import { pullPlace, type World } from './worker.ts';

/** How often it was done. */
export interface Undone {
  rollbacks: number;
  restores: number;
  /** Of what collections had taken meanwhile. */
  refused: number;
}

/** Moves tags back that a push has moved, and brings back those that were deleted, with the commands for it. */
export class Operator {
  readonly #world: World;
  readonly #client: RegistryClient;
  readonly #random: Random;
  readonly #commands: Commands;
  readonly #isHarmed: boolean;
  readonly #undone: Undone;

  constructor(
    world: World,
    client: RegistryClient,
    random: Random,
    undone: Undone,
    { commands, isHarmed }: { commands: Commands; isHarmed: boolean },
  ) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
    this.#undone = undone;
    this.#commands = commands;
    this.#isHarmed = isHarmed;
  }

  /** Until a signal. */
  async run(signal: AbortSignal): Promise<void> {
    for (let i = 1; !signal.aborted; i++) {
      await this.#undoOnce(`undo-${i}`);
      await delay(this.#random.below(3000));
    }
  }

  async #undoOnce(tag: string): Promise<void> {
    const { places, images, delayMs } = this.#world;
    const [first, second] = [this.#random.one(images.images), this.#random.one(images.images)];
    const place = places.add(this.#random.one(images.repositories), tag);
    if (!(await this.#push(place, first))) return;
    const isRollback = this.#random.onceIn(2) && first !== second;
    if (isRollback && !(await this.#push(place, second))) return;
    if (!isRollback) {
      places.beginDelete(place);
      places.deleted(place, await this.#client.delete(place.repository, tag));
      if (!place.is('gone')) return;
    }
    if (this.#random.onceIn(2)) await delay(this.#random.below(3 * delayMs));
    if (!place.is(isRollback ? 'held' : 'gone')) return;
    places.beginPush(place, first);
    const args = isRollback ? ['rollback', place.name, '--to', first.digest] : ['restore', place.name];
    const ended = await this.#commands.run(args);
    if (ended.code !== 0) {
      this.#refused(place, args, ended);
      return;
    }
    places.pushed(place, { leftBehind: false });
    this.#undone[isRollback ? 'rollbacks' : 'restores']++;
    await pullPlace(this.#client, place, false);
  }

  /** @returns whether it is held, and nothing was left behind that may point the tag at it again */
  async #push(place: Place, image: Image): Promise<boolean> {
    this.#world.places.beginPush(place, image);
    const outcome = await this.#client.push(place.repository, image, place.reference);
    this.#world.places.pushed(place, outcome);
    // Another client may have deleted an image by its digest.
    return place.is('held') && !outcome.leftBehind;
  }

  /** What was collected meanwhile does not come back, nor what a client deletes by its digest, and the command says so. */
  #refused(place: Place, args: readonly string[], { code, signal, errors }: Ended): void {
    const isRefusal = code === 1 && (place.disturbed || errors.includes('push the image again'));
    assert.ok(
      isRefusal || this.#isHarmed,
      `stowage ${args.join(' ')} ended with ${signal ?? code}:\n${errors}`,
    );
    this.#world.places.doubt(place);
    this.#undone.refused++;
  }
}
