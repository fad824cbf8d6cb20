import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { Catalog } from '../../lib/registry/catalog.ts';
import { tagLink } from '../../lib/registry/layout.ts';
import { BucketSearch } from '../../lib/search/bucket-search.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import type { BucketKind } from '../servers/buckets.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import type { Ground, Subject } from './backend-suite.ts';

export const keyOf = (name: string): string => tagLink(parseRepositoryName(name), parseTag('v1'));

/** Puts repositories into a store, with nothing but a tag. */
export async function fillStore(store: ObjectStore, names: readonly string[], atOnce = 32): Promise<void> {
  for (let at = 0; at < names.length; at += atOnce)
    await Promise.all(
      names.slice(at, at + atOnce).map(async (name) => await store.put(keyOf(name), Buffer.from('x'))),
    );
}

function subjectOn(store: ObjectStore, storage: TestStorage): Subject {
  const catalog = new Catalog(store);
  const backend = new BucketSearch(catalog);
  return {
    backend,
    fill: async (names) => {
      await fillStore(store, names);
    },
    remove: async (name) => {
      await store.delete([keyOf(name)]);
    },
    reindex: async () => {
      await backend.reindex();
      return undefined;
    },
    close: async () => {
      await backend.close();
      storage.remove();
    },
  };
}

/** The bucket itself as the list: a folder. */
export async function onFolder(): Promise<Ground> {
  return await Promise.resolve({
    open: async () => {
      const storage = await folderStorage();
      return subjectOn(await storage.open(), storage);
    },
    stop: async () => {
      await Promise.resolve();
    },
  });
}

/** The bucket itself as the list: one of a server. */
export async function onBuckets(kind: BucketKind): Promise<Ground> {
  const buckets = await kind.start();
  return {
    open: async () => {
      const storage = await buckets.newBucket();
      return subjectOn(await storage.open(), storage);
    },
    stop: async () => {
      await buckets.stop();
    },
  };
}
