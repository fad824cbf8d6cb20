import { after, before, describe } from 'node:test';
import { Collection } from '../../../lib/maintenance/collection/collection.ts';
import type { CollectionReport } from '../../../lib/maintenance/collection/report.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { onMinio, onVersitygw, type Buckets } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';

/** Changes can land for some seconds in a bucket, so that tests need not wait for minutes. */
export const shortFenceMs = 5000;
export const shortFence = { REGISTRY_GC_FENCE: `${shortFenceMs}ms`, REGISTRY_GC_MARGIN: '0s' } as const;

/** Where bytes may be deleted. */
export const collectedKinds = [
  {
    name: 'a folder',
    needs: [],
    start: () => Promise.resolve({ newBucket: folderStorage, stop: () => undefined }),
  },
  onVersitygw,
  onMinio,
] as const;

/** Registers tests on each kind of storage that is collected. @param tests are given a way to a new storage */
export function onCollectedStores(
  what: string,
  tests: (open: () => Promise<ObjectStore>, kind: string) => void,
): void {
  for (const kind of collectedKinds)
    describe(`${what} on ${kind.name}`, requires(...kind.needs), () => {
      let buckets: Buckets | Awaited<ReturnType<(typeof collectedKinds)[0]['start']>>;
      const used: TestStorage[] = [];
      before(async () => {
        buckets = await kind.start();
      });
      after(async () => {
        for (const storage of used) storage.remove();
        await buckets.stop();
      });
      tests(async () => {
        const storage = await buckets.newBucket(shortFence);
        used.push(storage);
        return await storage.open();
      }, kind.name);
    });
}

export interface CollectOptions {
  readonly deleteUntagged?: boolean;
}

/** A run without a delay, of what is a second old. */
export function collection(store: ObjectStore, { deleteUntagged = true }: CollectOptions = {}): Collection {
  const { fencing } = store;
  if (fencing === undefined) throw new Error('nothing can be deleted here');
  const untagged = deleteUntagged ? { untagged: () => 0 } : {};
  return new Collection(store, fencing, { delayMs: 0, youngMs: 0, ...untagged });
}

/** Runs all that is due. */
export async function collect(store: ObjectStore, options?: CollectOptions): Promise<CollectionReport> {
  const one = collection(store, options);
  while (await one.step());
  return one.report;
}

/** Runs until nothing is left to do, waiting for what is not due yet. @returns the reports of all runs */
export async function collectAll(store: ObjectStore, options?: CollectOptions): Promise<CollectionReport[]> {
  const reports: CollectionReport[] = [];
  for (;;) {
    const report = await collect(store, options);
    reports.push(report);
    const [waiting] = report.waiting;
    if (waiting === undefined) return reports;
    await pause(Math.max(0, waiting.from.getTime() - Date.now()) + 1000);
  }
}

/** Condemns what nothing needs. @returns the id of the mark */
export async function condemn(store: ObjectStore): Promise<string> {
  const one = collection(store);
  await one.step();
  return one.report.condemned?.id ?? '';
}

/** Makes the second look under the mark that is there, and deletes nothing yet. */
export async function lookAgain(store: ObjectStore): Promise<void> {
  for (;;) {
    const one = collection(store);
    await one.step();
    const [waiting] = one.report.waiting;
    if (waiting === undefined) return;
    await pause(Math.max(0, waiting.from.getTime() - Date.now()) + 1000);
  }
}

/** Deletes under a mark until it is removed. Another look would condemn anew what was left, since nothing is too young here. */
export async function complete(store: ObjectStore, mark: string): Promise<CollectionReport> {
  for (;;) {
    const one = collection(store);
    while (one.report.waiting.length === 0 && !one.report.completed.includes(mark)) await one.step();
    const [waiting] = one.report.waiting;
    if (waiting === undefined) return one.report;
    await pause(Math.max(0, waiting.from.getTime() - Date.now()) + 1000);
  }
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** So that nothing is as young as a mark: stores date with seconds. */
export const unitMs = 2000;

/** All keys below the root of the registry. */
export async function keysIn(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(listObjects(store, 'docker/registry/v2/'))).map(({ key }) => key);
}

/** Keys but those of the knowledge of looks. */
export async function contentOf(store: ObjectStore): Promise<string[]> {
  return (await keysIn(store)).filter((key) => !key.includes('/gc/references/'));
}
