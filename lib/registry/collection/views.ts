import { SingleFlight } from '../../concurrency/single-flight.ts';
import { FenceEnded, type Fence, type ObjectStore } from '../../storage/store.ts';
import { ExpiringCache, type Clock } from '../expiring-cache.ts';
import { marksPrefix } from '../layout.ts';
import { CondemnedLists } from './condemned-lists.ts';

/** How long a view is used for new requests at most, in milliseconds; and half as long as its fence lasts, so that they can end. */
export const viewTtlMs = 60_000;

/** What a process has seen of garbage collections, and how long it may commit something that it found out since. */
export interface CollectionView {
  /** Counts the views of a process from 1; 0 where there are no collections. */
  readonly number: number;
  /** For commits. All that they rely on was looked at after it was opened. */
  readonly fence: Fence | undefined;
  /** The ids of the marks that were there. */
  readonly marks: readonly string[];
  /** What they list; undefined without marks. */
  readonly lists: CondemnedLists | undefined;
}

const withoutCollections: CollectionView = { number: 0, fence: undefined, marks: [], lists: undefined };

/** How often a commit is tried under another view. */
export const maxAttempts = 5;

/** The views of garbage collections of one process. On a store without fences nothing is collected, so nothing is asked. */
export class CollectionViews {
  readonly #store: ObjectStore;
  readonly #readOnly: boolean;
  readonly #clock: Clock | undefined;
  #cache: ExpiringCache<'view', CollectionView> | undefined;
  readonly #openings = new SingleFlight<'view', CollectionView>();
  #number = 0;
  /** Kept from view to view while there is a mark. */
  #lists: CondemnedLists | undefined;

  constructor(store: ObjectStore, readOnly: boolean, clock?: Clock) {
    this.#store = store;
    this.#readOnly = readOnly;
    this.#clock = clock;
  }

  get #current(): ExpiringCache<'view', CollectionView> {
    if (this.#cache === undefined) {
      const { lifetimeMs = Infinity } = this.#store.fencing ?? {};
      const ttlMs = Math.min(viewTtlMs, lifetimeMs / 2);
      this.#cache = new ExpiringCache({ ttlMs, maxSize: 1, ...(this.#clock && { clock: this.#clock }) });
    }
    return this.#cache;
  }

  /** The number of the view that was opened last. What is asked for from now on was looked at after its fence was opened. */
  get number(): number {
    return this.#number;
  }

  /** A view for a request that begins. */
  async current(): Promise<CollectionView> {
    return this.#current.get('view') ?? (await this.#openings.run('view', async () => await this.#open()));
  }

  async #open(): Promise<CollectionView> {
    const { fencing } = this.#store;
    if (fencing === undefined || this.#readOnly) return withoutCollections;
    const asked = this.#current.now();
    const { fence, objects } = await fencing.open(marksPrefix);
    const marks = objects.map(({ key }) => key.slice(marksPrefix.length));
    this.#number += 1;
    this.#lists = marks.length === 0 ? undefined : (this.#lists ?? new CondemnedLists(this.#store));
    const view = { number: this.#number, fence, marks, lists: this.#lists };
    this.#current.set('view', view, asked);
    return view;
  }

  /**
   * Does what ends with commits under the fence of a view. If that has ended meanwhile, because the process was stopped or a collection
   * in a folder has begun, everything is done again under another one.
   * @throws FenceEnded if that has ended as well
   */
  async commit<T>(work: (view: CollectionView) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const view = await this.current();
      try {
        return await work(view);
      } catch (error) {
        if (!(error instanceof FenceEnded)) throw error;
        this.drop(view);
        if (attempt === maxAttempts) throw error;
      }
    }
  }

  /** For a view whose fence has ended. */
  drop({ number }: CollectionView): void {
    if (this.#current.get('view')?.number === number) this.#current.delete('view');
  }
}
