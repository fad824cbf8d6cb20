import type { Fencing, ObjectStore } from '../../storage/store.ts';

/** The fences of a store. @throws Error with the reason if nothing can be deleted there */
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

function refused(reason: string): Error {
  return new Error(
    `nothing is deleted in this storage: ${reason}. stowage gc --dry-run shows what could be freed`,
  );
}
