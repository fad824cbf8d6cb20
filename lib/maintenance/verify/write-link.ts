import type { Digest } from '../../protocol/digests.ts';
import { Collections } from '../../registry/collection/collections.ts';
import { blobData } from '../../registry/layout.ts';
import { exists, writeLink } from '../../registry/links.ts';
import { parseRepositoryKey } from '../../registry/repository-keys.ts';
import { rescueImage } from '../../registry/undo/rescue-image.ts';
import type { ObjectStore } from '../../storage/store.ts';

/**
 * Writes a link that is missing or damaged, under the rules of a writer (docs/garbage-collection.md, "Writers").
 * @returns whether it was written; false if the bytes that it leads to are gone
 */
export async function writeMissingLink(store: ObjectStore, key: string, digest: Digest): Promise<boolean> {
  const link = parseRepositoryKey(key);
  if (link === undefined) throw new Error(`${key} is no link`);
  const collections = new Collections(store);
  return await collections.commit(async (view) => {
    if (link.kind === 'layer') await collections.rescue(view, link.name, [[digest]]);
    else await rescueImage(store, collections, view, link.name, digest);
    if (!(await exists(store, blobData(digest)))) return false;
    await writeLink(store, key, digest, { fence: view.fence });
    return true;
  });
}
