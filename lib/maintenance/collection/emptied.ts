import { referrersScan, repositoryPrefix } from '../../registry/layout.ts';
import { parseRepositoryKey } from '../../registry/repository-keys.ts';
import type { ObjectStore } from '../../storage/store.ts';

/** Removes the last object of a repository, which is its {@link referrersScan}, and what is left of folders. */
export async function removeLast(store: ObjectStore, scan: string): Promise<void> {
  await store.delete([scan]);
  await removeFolders(store, [scan]);
}

/**
 * In a folder, removes those that are empty of repositories whose last objects were deleted: distribution, which leaves such folders,
 * takes them for repositories.
 * @param deleted keys; of a repository that is emptied, its {@link referrersScan} is the last
 */
export async function removeFolders(store: ObjectStore, deleted: readonly string[]): Promise<void> {
  if (store.removeEmptyFolders === undefined) return;
  for (const key of deleted) {
    const name = parseRepositoryKey(key)?.name;
    if (name !== undefined && key === referrersScan(name))
      await store.removeEmptyFolders(repositoryPrefix(name));
  }
}
