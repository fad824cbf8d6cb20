import type { Digest } from '../../protocol/digests.ts';
import { blobData, blobsPrefix, parseBlobData } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { lastPartition, partitionOf, type Owner, type Spool, type SpooledOwners } from './spool.ts';

/** A digest that has bytes, or owners, or both. */
export interface ListedDigest {
  readonly digest: Digest;
  /** Its bytes, if there are any. */
  readonly object: ObjectInfo | undefined;
  readonly owners: readonly Owner[];
}

/**
 * All digests with bytes or owners, or those after one. Listings have the order of digests, so the owners are read along.
 */
export async function* digestsAfter(
  store: ObjectStore,
  spool: Spool,
  after: Digest | undefined,
): AsyncGenerator<ListedDigest, void> {
  let partition = after === undefined ? 0 : partitionOf(after);
  let owners = await spool.read(partition);
  if (after !== undefined) owners.of(after);
  const startAfter = after === undefined ? '' : blobData(after);
  for await (const object of listObjects(store, blobsPrefix, { startAfter })) {
    const digest = parseBlobData(object.key);
    if (digest === undefined) continue;
    while (partition < partitionOf(digest)) {
      yield* missing(owners);
      owners = await spool.read(++partition);
    }
    yield* missing(owners, digest);
    yield { digest, object, owners: owners.of(digest) };
  }
  yield* missing(owners);
  while (partition < lastPartition) yield* missing(await spool.read(++partition));
}

function* missing(owners: SpooledOwners, before?: Digest): Generator<ListedDigest, void> {
  for (const one of owners.before(before)) yield { ...one, object: undefined };
}
