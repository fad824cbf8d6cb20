import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryFolder } from '../../servers/folder.ts';
import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Commands } from './commands.ts';
import type { Image } from './images.ts';
import type { Place } from './places.ts';
import { pullPlace, type World } from './worker.ts';

const newest = 3;

/** Repositories are its own, so that nobody else decides what is newest there. */
const rules = `
retention:
  - repositories: kept/newest-*
    keep: { newest: ${newest} }
    otherwise: delete
  - { repositories: kept/labelled-*, expires: label }
`;

/** Between pushes, so that one tag is newer than the other where times have whole seconds. */
const apartMs = 1100;

/** After the last push, so that what expires after a second has expired by any rounding. */
const expiredMs = 3000;

/** Of a command that is killed, or whose requests fail. */
const attempts = 8;

export interface Kept {
  /** Times that the rules for retention were applied. */
  applied: number;
  /** Tags that they removed. */
  removedTags: number;
}

export interface KeeperOptions {
  readonly commands: Commands;
  readonly isHarmed: boolean;
  /** Whether listings may lag, so that a run may not see all tags. */
  readonly listingsLag: boolean;
  readonly kept: Kept;
}

/** Pushes tags, signs some of the images, and removes tags by rules for retention. */
export class Keeper {
  readonly #world: World;
  readonly #client: RegistryClient;
  readonly #random: Random;
  readonly #options: KeeperOptions;
  #made = 0;
  #file = '';
  #newest = new Repository('kept/newest-1');
  #labelled = new Repository('kept/labelled-1');

  constructor(world: World, client: RegistryClient, random: Random, options: KeeperOptions) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
    this.#options = options;
  }

  /** Until a signal. */
  async run(signal: AbortSignal): Promise<void> {
    const folder = await temporaryFolder('retention');
    try {
      this.#file = join(folder.path, 'rules.yml');
      writeFileSync(this.#file, rules);
      await this.#command('plan');
      while (!signal.aborted) await this.#applyOnce(signal);
    } finally {
      folder.remove();
    }
  }

  async #applyOnce(signal: AbortSignal): Promise<void> {
    const { images } = this.#world;
    const subjects = images.referrers.filter(({ tag }) => tag !== undefined).map(({ subject }) => subject);
    this.#newest = await this.#push(this.#newest, this.#random.one(subjects));
    this.#newest = await this.#push(this.#newest, this.#random.one(subjects));
    this.#labelled = await this.#push(this.#labelled, this.#random.one(images.shortLived));
    if (this.#labelled.held().length < 3)
      this.#labelled = await this.#push(this.#labelled, this.#random.one(images.images));
    if (signal.aborted) return;
    await delay(expiredMs);
    const isShortLived = ({ image }: Place) => image !== undefined && images.shortLived.includes(image);
    const doomed = [...this.#newest.held().slice(0, -newest), ...this.#labelled.held().filter(isShortLived)];
    if (doomed.length > 0) await this.#remove(doomed);
    for (const place of [...this.#newest.held(), ...this.#labelled.held()])
      await pullPlace(this.#client, place, false);
  }

  async #push(repository: Repository, image: Image): Promise<Repository> {
    const { places, images } = this.#world;
    const place = places.add(repository.name, `v${++this.#made}`);
    repository.places.push(place);
    places.beginPush(place, image);
    places.pushed(place, await this.#client.push(place.repository, image, place.reference));
    await delay(apartMs);
    // What was left behind may write the tag later again, which makes it the newest: from now on another repository.
    if (place.leftBehind) {
      for (const one of repository.held()) places.doubt(one);
      return repository.next();
    }
    const signature = images.referrers.find(({ subject, tag }) => subject === image && tag !== undefined);
    if (signature !== undefined && this.#random.onceIn(2)) {
      const { version } = place;
      await this.#client.push(place.repository, signature, signature.tag ?? '');
      places.referred(place, version, signature);
    }
    return repository;
  }

  /** What should go is removed, and what is held all the time, which others pull, is not. */
  async #remove(doomed: readonly Place[]): Promise<void> {
    const { places } = this.#world;
    const { listingsLag, kept } = this.#options;
    for (const place of doomed) places.beginDelete(place);
    if (this.#random.onceIn(5)) await this.#command('plan');
    await this.#command('apply');
    for (let run = 1; listingsLag && run < attempts && (await this.#areThere(doomed)); run++)
      await this.#command('apply');
    kept.applied++;
    for (const place of doomed) {
      places.deleted(place, { leftBehind: false });
      assert.equal(
        await this.#client.resolve(place.repository, place.reference),
        undefined,
        `${place.name}, which retention has removed`,
      );
      kept.removedTags++;
    }
  }

  async #areThere(places: readonly Place[]): Promise<boolean> {
    for (const { repository, reference } of places)
      if ((await this.#client.resolve(repository, reference)) !== undefined) return true;
    return false;
  }

  /** Until it succeeds. */
  async #command(which: 'plan' | 'apply'): Promise<void> {
    const settings = { REGISTRY_RETENTION_PATH: this.#file };
    for (let attempt = 1; ; attempt++) {
      const { code, signal, errors } = await this.#options.commands.run(['retention', which], settings);
      if (code === 0) return;
      assert.ok(
        this.#options.isHarmed && attempt < attempts,
        `stowage retention ${which} ended with ${signal ?? code}:\n${errors}`,
      );
    }
  }
}

/** A repository, with the places in it in the order of their pushes. */
class Repository {
  readonly name: string;
  readonly places: Place[] = [];

  constructor(name: string) {
    this.name = name;
  }

  held(): readonly Place[] {
    return this.places.filter(({ state }) => state === 'held');
  }

  next(): Repository {
    return new Repository(this.name.replace(/\d+$/, (number) => String(Number(number) + 1)));
  }
}
