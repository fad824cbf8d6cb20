import { after, before, describe } from 'node:test';
import { openStore } from '../../../lib/compose.ts';
import { loadConfig } from '../../../lib/config/config.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { onMinio, onVersitygw, type Buckets } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';

/** How long changes of a bucket can land, so that a test need not wait for minutes. */
const fence = { lifetimeMs: 2000, marginMs: 1000 };

/** Opens a new folder or bucket. */
export type NewStore = () => Promise<ObjectStore>;

/**
 * Registers tests on each kind of store whose bytes may be collected.
 * @param what is tested, as the title begins
 */
export function onFencedStores(what: string, tests: (newStore: NewStore, kind: string) => void): void {
  const opened: (() => void)[] = [];
  const open = async (storage: TestStorage): Promise<ObjectStore> => {
    const config = loadConfig('maintenance', storage.settings).storage;
    const store: ObjectStore & { close?(): void } = await openStore(config, { check: false, fence });
    opened.push(() => {
      store.close?.();
      storage.remove();
    });
    return store;
  };
  const close = () => {
    for (const closeOne of opened.splice(0)) closeOne();
  };

  describe(`${what} on a folder`, () => {
    after(close);
    tests(async () => await open(await folderStorage()), 'a folder');
  });

  for (const kind of [onVersitygw, onMinio])
    // They mostly wait for fences to end.
    describe(`${what} on ${kind.name}`, { ...requires(...kind.needs), concurrency: 6 }, () => {
      let buckets: Buckets;

      before(async () => {
        buckets = await kind.start();
      });

      after(async () => {
        close();
        await buckets.stop();
      });

      tests(async () => await open(await buckets.newBucket()), kind.name);
    });
}
