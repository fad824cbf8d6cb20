import { after, before, describe } from 'node:test';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onScs, s3Kinds, type Buckets } from '../servers/buckets.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';

/**
 * Registers tests on a folder and on each kind of bucket.
 * @param what is tested, as the title begins
 * @param tests are given the store when they run, and the name of its kind
 */
export function onStores(what: string, tests: (store: () => ObjectStore, kind: string) => void): void {
  describe(`${what} on a folder`, () => {
    let folder: Folder;
    let store: FilesystemStore;

    before(async () => {
      folder = await temporaryFolder('on-stores');
      store = await FilesystemStore.open(folder.path);
    });

    after(() => {
      folder.remove();
    });

    tests(() => store, 'a folder');
  });

  for (const kind of [...s3Kinds, onScs])
    describe(`${what} on ${kind.name}`, requires(...kind.needs), () => {
      let buckets: Buckets;
      let store: ObjectStore & { check?(): Promise<void>; close?(): void };

      before(async () => {
        buckets = await kind.start();
        store = await (await buckets.newBucket()).open();
        await store.check?.();
      });

      after(async () => {
        store.close?.();
        await buckets.stop();
      });

      tests(() => store, kind.name);
    });
}
