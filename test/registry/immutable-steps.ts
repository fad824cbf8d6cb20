/** Steps of tests of immutable tags: `v…` is immutable, every other tag moves. */
import { entityTag, type Conditions } from '../../lib/protocol/conditions.ts';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { Tag } from '../../lib/protocol/tags.ts';
import { TagImmutable, type PushOptions } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { digestOf as hexDigestOf, indexType, manifest } from '../functions/client.ts';

export const name = parseRepositoryName('team/app');
export const rule = 'immutable-tags 1 (v*)';
export const immutable = (tag: Tag): string | undefined => (tag.startsWith('v') ? rule : undefined);
export const unlessThere: Conditions = { ifMatch: '', ifNoneMatch: '*' };

export const some = (what: string, more: object = {}): Buffer =>
  manifest({ manifests: [], annotations: { what }, ...more }, indexType);
export const digestOf = (bytes: Buffer): Digest => parseDigest(hexDigestOf(bytes));
export const onlyIf = (bytes: Buffer): Conditions => ({
  ifMatch: entityTag(digestOf(bytes)),
  ifNoneMatch: '',
});

/** By a process of its own. */
export async function push(
  store: ObjectStore,
  bytes: Buffer,
  reference: string,
  options: PushOptions = {},
): Promise<void> {
  const { manifests } = createRegistry(store);
  await manifests.put(name, parseReference(reference), bytes, indexType, { immutable, ...options });
}

export async function remove(store: ObjectStore, reference: string): Promise<void> {
  await createRegistry(store).manifests.delete(name, parseReference(reference), { immutable });
}

export async function get(store: ObjectStore, reference: string): Promise<Buffer> {
  return (await createRegistry(store).manifests.get(name, parseReference(reference))).bytes;
}

/** Whether it was done; false if a tag is immutable. It must not fail otherwise. */
export async function isDone(request: Promise<void>): Promise<boolean> {
  try {
    await request;
    return true;
  } catch (error) {
    if (error instanceof TagImmutable) return false;
    throw error;
  }
}
