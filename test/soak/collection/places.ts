import type { Image, Referrer } from './images.ts';

/*
 * The model: what must be in the registry at any moment, whatever collections, kills, stops, faults and clocks do.
 *
 * A place is a tag, or a repository's manifest without a tag where those are kept. One client owns it, and does one change after the
 * other; everybody pulls from it.
 *
 * - From the answer 201 to its push until its owner begins the next change, a place *holds* its image: each pull that begins
 *   and ends meanwhile finds all of it, by the tag and by its digest, through any instance: manifest, children, config and
 *   layers, and the referrers whose push was answered meanwhile as well. A pull during which the place changed may fail.
 * - A push or delete that is not answered as it should, after all retries of the client, is an error of the registry.
 * - Each retry may leave a request behind which a stopped instance, or the bucket, carries out later. A push that was repeated leaves
 *   its own image behind, which harms the place only once it changes. After that it is *doubtful*: what it has is not known until
 *   the end, and its owner lets it be.
 * - A delete by digest takes all places of the repository that hold the image. One with a lost answer may take any that is pushed
 *   there later. Places whose push and such a delete overlap are doubtful.
 *
 * In the end, with everything quiet: what is held can be pulled, what was deleted for certain is gone, doubtful places have a whole
 * image or nothing, and after some collections the bucket has the bytes and links that tags reach (and manifests without tags,
 * where those are kept), and no others.
 */

type State = 'held' | 'changing' | 'doubtful' | 'gone';

/** A tag, or a manifest without one. */
export class Place {
  readonly repository: string;
  readonly tag: string | undefined;
  state: State = 'gone';
  /** What it holds, or is to hold. */
  image: Image | undefined;
  /** What a push replaces. */
  before: Image | undefined;
  /** Grows with each change. */
  version = 0;
  /** Whether requests of its pushes may still be under way somewhere. */
  leftBehind = false;
  /** Whether a delete by digest could take the image that is being pushed. */
  disturbed = false;
  readonly referrers = new Set<Referrer>();

  constructor(repository: string, tag: string | undefined) {
    this.repository = repository;
    this.tag = tag;
  }

  /** Another client may have changed it since. */
  is(state: State): boolean {
    return this.state === state;
  }

  /** As an operator writes it. */
  get name(): string {
    return `${this.repository}${this.tag === undefined ? `@${this.image?.digest}` : `:${this.tag}`}`;
  }

  /** How the registry is asked for it. */
  get reference(): string {
    return this.tag ?? this.image?.digest ?? '';
  }
}

/** Whether requests of an operation had no answer, so that they may take effect later. */
export interface Outcome {
  readonly leftBehind: boolean;
}

/** All places. */
export class Places {
  readonly all = new Set<Place>();
  /** Deletes by digest that are under way, by repository and digest. */
  readonly #deleting = new Map<string, number>();
  /** Those of which a request may be under way for ever. */
  readonly #haunted = new Set<string>();

  /** @param tag none for a manifest without one */
  add(repository: string, tag: string | undefined): Place {
    const place = new Place(repository, tag);
    this.all.add(place);
    return place;
  }

  held(): readonly Place[] {
    return [...this.all].filter(({ state }) => state === 'held');
  }

  beginPush(place: Place, image: Image): void {
    const before = place.state === 'held' ? place.image : undefined;
    this.#beginChange(place);
    place.image = image;
    place.before = before;
    // A delete takes the tags that it has seen at its image, though they have moved since.
    place.disturbed = [image, before].some((one) => one !== undefined && this.#mayGo(place.repository, one));
  }

  pushed(place: Place, { leftBehind }: Outcome): void {
    place.leftBehind ||= leftBehind;
    place.state = place.disturbed ? 'doubtful' : 'held';
  }

  /** What a push has replaced stays as a manifest without a tag. @returns its place, unless it was not there for certain */
  addReplaced({ repository, image, before, disturbed }: Place): Place | undefined {
    if (before === undefined || before === image || disturbed) return undefined;
    const place = this.add(repository, undefined);
    place.image = before;
    place.state = 'held';
    return place;
  }

  beginDelete(place: Place): void {
    this.#beginChange(place);
  }

  deleted(place: Place, { leftBehind }: Outcome): void {
    place.state = place.leftBehind || leftBehind ? 'doubtful' : 'gone';
  }

  /** An operation has failed. */
  doubt(place: Place): void {
    place.state = 'doubtful';
  }

  /** A delete by digest begins. @returns what to call at its end; with nothing if it failed */
  beginDeleteManifest(repository: string, image: Image): (outcome: Outcome | undefined) => void {
    const key = manifestKey(repository, image);
    this.#deleting.set(key, (this.#deleting.get(key) ?? 0) + 1);
    const taken: { place: Place; version: number }[] = [];
    for (const place of this.all) {
      if (place.repository !== repository) continue;
      if (
        place.state === 'changing' &&
        [place.image, place.before].some((one) => one?.digest === image.digest)
      )
        place.disturbed = true;
      if (place.state !== 'held' || place.image?.digest !== image.digest) continue;
      this.#beginChange(place);
      taken.push({ place, version: place.version });
    }
    return (outcome) => {
      const left = (this.#deleting.get(key) ?? 1) - 1;
      if (left === 0) this.#deleting.delete(key);
      else this.#deleting.set(key, left);
      if (outcome === undefined || outcome.leftBehind) this.#haunted.add(key);
      for (const { place, version } of taken) {
        const isSure = outcome !== undefined && !outcome.leftBehind && !place.leftBehind && left === 0;
        if (place.version === version) place.state = isSure ? 'gone' : 'doubtful';
      }
    };
  }

  /** A referrer's push was answered, which began at a version of the place. */
  referred(place: Place, version: number, referrer: Referrer): void {
    if (place.state === 'held' && place.version === version) place.referrers.add(referrer);
  }

  #mayGo(repository: string, image: Image): boolean {
    const key = manifestKey(repository, image);
    return this.#haunted.has(key) || this.#deleting.has(key);
  }

  #beginChange(place: Place): void {
    if (place.state === 'doubtful') throw new Error(`${place.name} is doubtful, and must be let be`);
    place.state = 'changing';
    place.version++;
    place.referrers.clear();
  }
}

function manifestKey(repository: string, image: Image): string {
  return `${repository}@${image.digest}`;
}
