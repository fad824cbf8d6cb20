import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Image, Images } from './images.ts';
import type { Place, Places } from './places.ts';

/** What the clients of one round share. */
export interface World {
  readonly images: Images;
  readonly places: Places;
  /** Whether manifests without tags stay. */
  readonly keepsUntagged: boolean;
  /** The delay of collections in milliseconds. */
  readonly delayMs: number;
  readonly done: Done;
}

/** How often each thing was done. */
export interface Done {
  pushes: number;
  pulls: number;
  deletes: number;
  referrers: number;
}

/** Something that should be there was not: in the words of an operator, with what was seen. */
export class Lost extends Error {
  override readonly name = 'Lost';
}

/** Places that a worker has at a time. All of them together hold a part of all images. */
const ownPlaces = 3;

const lots = [
  ...Array<'push'>(6).fill('push'),
  ...Array<'pull'>(5).fill('pull'),
  ...Array<'delete'>(2).fill('delete'),
  'deleteManifest',
  'refer',
] as const;

let tagsMade = 0;

/** A client that pushes, pulls and deletes images at random, and holds what it sees against the model of places.ts. */
export class Worker {
  readonly #world: World;
  readonly #client: RegistryClient;
  readonly #random: Random;
  #own: Place[] = [];

  constructor(world: World, client: RegistryClient, random: Random) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
  }

  /** Does one thing. @throws Lost, or ClientFailed */
  async step(): Promise<void> {
    this.#own = this.#own.filter(({ state }) => state === 'held' || state === 'changing');
    await this[this.#random.one(lots)]();
  }

  async push(): Promise<void> {
    const { places, images, done, keepsUntagged, delayMs } = this.#world;
    const random = this.#random;
    const image = random.one(images.images);
    const place = await this.#placeFor(image);
    // Another client may have begun to delete its image.
    if (place.state === 'changing' || place.state === 'doubtful') return;
    const options = {
      from: random.onceIn(3) ? random.one(images.repositories) : undefined,
      // So long that what it has found may be gone.
      pauseMs: random.onceIn(60) ? random.below(2 * delayMs) : undefined,
    };
    places.beginPush(place, image);
    await this.#change(place, async () => {
      // As BuildKit does.
      if (place.tag !== undefined && random.onceIn(5))
        await this.#client.push(place.repository, image, image.digest, options);
      const outcome = await this.#client.push(place.repository, image, place.reference, options);
      places.pushed(place, outcome);
      const kept = keepsUntagged && random.onceIn(4) ? places.addReplaced(place) : undefined;
      if (kept !== undefined) this.#own.push(kept);
    });
    done.pushes++;
  }

  async pull(): Promise<void> {
    const { places, done } = this.#world;
    const held = places.held();
    if (held.length === 0) return;
    await pullPlace(this.#client, this.#random.one(held), this.#random.onceIn(3));
    done.pulls++;
  }

  /** By its tag. Many tags lead to the same image, so that it mostly stays. */
  async delete(): Promise<void> {
    const place = this.#someOwn();
    if (place === undefined) return;
    await this.#deletePlace(place);
  }

  async #deletePlace(place: Place): Promise<void> {
    const { places, done } = this.#world;
    if (place.tag === undefined) {
      await this.#deleteImage(place);
      return;
    }
    places.beginDelete(place);
    await this.#change(place, async () => {
      const outcome = await this.#client.delete(place.repository, place.tag ?? '');
      if (!outcome.wasThere && !outcome.leftBehind && !place.disturbed)
        throw new Lost(`${place.name} was not there to be deleted`);
      places.deleted(place, outcome);
    });
    done.deletes++;
  }

  /** By its digest, with all tags of the repository that lead to it. */
  async deleteManifest(): Promise<void> {
    const place = this.#someOwn();
    if (place !== undefined) await this.#deleteImage(place);
  }

  async #deleteImage({ repository, image }: Place): Promise<void> {
    if (image === undefined) return;
    const end = this.#world.places.beginDeleteManifest(repository, image);
    let outcome;
    try {
      outcome = await this.#client.delete(repository, image.digest);
    } finally {
      end(outcome);
    }
    this.#world.done.deletes++;
  }

  /** Pushes what refers to an image, such as a signature: not to a repository that may be deleted whole meanwhile. */
  async refer(): Promise<void> {
    const { places, images, done } = this.#world;
    const held = places.held().filter(({ repository }) => images.repositories.includes(repository));
    const referrers = images.referrers.flatMap((referrer) =>
      held.filter(({ image }) => image === referrer.subject).map((place) => ({ place, referrer })),
    );
    if (referrers.length === 0) return;
    const { place, referrer } = this.#random.one(referrers);
    const { version } = place;
    await this.#client.push(place.repository, referrer, referrer.tag ?? referrer.digest);
    places.referred(place, version, referrer);
    done.referrers++;
  }

  async #placeFor(image: Image): Promise<Place> {
    const { places, images, keepsUntagged } = this.#world;
    const place = this.#someOwn();
    const isFull = this.#own.length >= ownPlaces;
    // A request that was left behind would take the tag back.
    if (place?.tag !== undefined && !place.leftBehind && this.#random.onceIn(3)) return place;
    if (isFull && place !== undefined) await this.#deletePlace(place);
    const repository = this.#random.one(images.repositories);
    const isUntagged = keepsUntagged && this.#random.onceIn(10);
    const fresh = places.add(repository, isUntagged ? undefined : `t${++tagsMade}`);
    fresh.image = image;
    this.#own.push(fresh);
    return fresh;
  }

  #someOwn(): Place | undefined {
    const held = this.#own.filter(({ state }) => state === 'held');
    return held.length === 0 ? undefined : this.#random.one(held);
  }

  async #change(place: Place, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#world.places.doubt(place);
      throw error;
    }
  }
}

/**
 * Pulls what a place holds.
 * @param byDigest whether by the digest, and not by the tag
 * @throws Lost
 */
export async function pullPlace(client: RegistryClient, place: Place, byDigest: boolean): Promise<void> {
  const { version, repository, image, reference } = place;
  const referrers = [...place.referrers];
  if (image === undefined) return;
  const began = new Date();
  let wrong = await client.pull(repository, image, byDigest ? image.digest : reference);
  if (wrong === undefined && referrers.length > 0) {
    const listed = await client.referrers(repository, image.digest);
    for (const referrer of referrers) {
      if (referrer.tag === undefined && !listed.has(referrer.digest))
        wrong ??= `its referrer ${referrer.digest} is not listed`;
      wrong ??= await client.pull(repository, referrer, referrer.tag ?? referrer.digest);
    }
  }
  if (wrong === undefined || place.state !== 'held' || place.version !== version) return;
  const when = `at ${began.toISOString()} to ${new Date().toISOString()}`;
  const behind = place.leftBehind ? 'which may have left a push behind, ' : '';
  throw new Lost(`${place.name}, ${behind}has lost ${image.digest} ${when}: ${wrong}`);
}
