import type { Fencing, ObjectStore } from '../../storage/store.ts';

/** Nothing can be deleted in a storage, and why. */
export class DeletionsRefused extends Error {}

/** The fences of a store. @throws DeletionsRefused */
export async function fencingOf(store: ObjectStore): Promise<Fencing> {
  const { fencing } = store;
  if (fencing === undefined)
    throw refused(
      'whether its listings lag behind writes, and whether it refuses late changes, is not known, so something could be deleted that is needed',
    );
  const reason = await fencing.refusal();
  if (reason !== undefined) throw refused(reason);
  return fencing;
}

function refused(reason: string): DeletionsRefused {
  return new DeletionsRefused(
    `nothing is deleted in this storage: ${reason}. stowage gc --dry-run shows what could be freed`,
  );
}
