import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Fleet } from './fleet.ts';
import type { Place } from './places.ts';
import type { Started } from './programs/start.ts';
import { pullPlace, type World } from './worker.ts';

/**
 * Of a push or pull. Older releases of podman and skopeo repeat no request, so where instances are killed and stopped all the time a busy
 * machine takes many.
 */
const attempts = 25;

/** How often it was done. */
export interface RealCounts {
  /** Pushes of docker, containerd, podman and skopeo. */
  realPushes: number;
  realPulls: number;
  /** Pushes and pulls that had to be repeated. */
  realFailures: number;
}

export interface RealOptions {
  readonly fleet: Fleet;
  /** Whether instances are killed and stopped, and the bucket fails. */
  readonly isHarmed: boolean;
  readonly counts: RealCounts;
}

/** docker, containerd, podman or skopeo, which pushes and pulls images; their tags are deleted, one after the other. */
export class RealClient {
  readonly #world: World;
  readonly #client: RegistryClient;
  readonly #random: Random;
  readonly #options: RealOptions;
  readonly #started: Started;
  #pushes = 0;

  constructor(world: World, client: RegistryClient, random: Random, started: Started, options: RealOptions) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
    this.#started = started;
    this.#options = options;
  }

  /** Until a signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#pushOnce();
      await delay(this.#random.below(1000));
    }
  }

  async #pushOnce(): Promise<void> {
    const { places, images } = this.#world;
    const { program, images: own } = this.#started;
    const { counts } = this.#options;
    const which = this.#random.below(own.length);
    const image = own[which] ?? assert.fail();
    const place = places.add(this.#random.one(images.repositories), `${program.name}-${++this.#pushes}`);
    places.beginPush(place, image);
    const leftBehind = await this.#persist(async (host) => {
      await program.push(which, `${host}/${place.name}`);
    });
    counts.realPushes++;
    places.pushed(place, { leftBehind });
    await pullPlace(this.#client, place, false);
    if (this.#random.onceIn(3)) await this.#pull(place);
    if (place.state !== 'held') return;
    places.beginDelete(place);
    places.deleted(place, await this.#client.delete(place.repository, place.reference));
  }

  async #pull(place: Place): Promise<void> {
    await this.#persist(async (host) => {
      await this.#started.program.pull(`${host}/${place.name}`);
    });
    this.#options.counts.realPulls++;
  }

  /** Repeats what failed, as a person does. @returns whether it failed */
  async #persist(act: (host: string) => Promise<void>): Promise<boolean> {
    const { fleet, isHarmed, counts } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const began = performance.now();
      try {
        await act(new URL(this.#random.one(fleet.endpoints()).url).host);
        return attempt > 1;
      } catch (error) {
        // A blob that waits longer for its manifest than the delay may go.
        const isSlow = performance.now() - began > this.#world.delayMs;
        if ((!isHarmed && !isSlow) || attempt === attempts) throw error;
        counts.realFailures++;
        await delay(200 * Math.min(attempt, 10));
      }
    }
  }
}
