import { after, before, describe } from 'node:test';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { onScs, onVersitygw, type Buckets } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';

/** A place for images, and its store. */
export interface UndoPlace {
  readonly storage: TestStorage;
  readonly store: ObjectStore;
}

/**
 * Registers tests of undo on a folder, on a bucket with conditional writes, and on one without.
 * @param what is tested, as the title begins
 * @param tests are given the place when they run
 */
export function onUndoPlaces(what: string, tests: (place: () => UndoPlace) => void): void {
  describe(`${what} on a folder`, () => {
    let place: UndoPlace;

    before(async () => {
      const storage = await folderStorage();
      place = { storage, store: await storage.open() };
    });

    after(() => {
      place.storage.remove();
    });

    tests(() => place);
  });

  for (const kind of [onVersitygw, onScs])
    describe(`${what} on ${kind.name}`, requires(...kind.needs), () => {
      let buckets: Buckets;
      let place: UndoPlace & { readonly store: ObjectStore & { check?(): Promise<void>; close?(): void } };

      before(async () => {
        buckets = await kind.start();
        const storage = await buckets.newBucket();
        place = { storage, store: await storage.open() };
        // It learns what the server can do.
        await place.store.check?.();
      });

      after(async () => {
        place.store.close?.();
        await buckets.stop();
      });

      tests(() => place);
    });
}
