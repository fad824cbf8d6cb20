import type { ObjectStore } from '../../storage/store.ts';
import { Activity } from './activity.ts';
import { Collection, type CollectionOptions } from './collection.ts';
import { fencingOf } from './refusal.ts';

/** A run of garbage collection, of which others know until it has ended. */
export interface BegunCollection {
  readonly collection: Collection;
  readonly end: () => Promise<void>;
}

/**
 * Begins a run.
 * @param force whether it begins beside another one
 * @throws DeletionsRefused if nothing can be deleted there
 * @throws AlreadyActive
 */
export async function beginCollection(
  store: ObjectStore,
  options: CollectionOptions,
  { force = false }: { readonly force?: boolean } = {},
): Promise<BegunCollection> {
  const fencing = await fencingOf(store);
  const activity = await Activity.begin(store, force);
  return {
    collection: new Collection(store, fencing, options),
    end: async () => {
      await activity.end();
    },
  };
}
