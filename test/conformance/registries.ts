import { onScs, onSwift, type BucketKind } from '../servers/buckets.ts';
import type { Registry } from '../servers/registry.ts';
import type { ServerName } from '../servers/requires.ts';
import { serve, start } from '../servers/stowage.ts';
import { folderStorage } from '../servers/storage.ts';

export const registryNames = ['folder', 'swift', 'scs', 'start'] as const;
export type RegistryName = (typeof registryNames)[number];

/** One of the registries that the suite is run against. */
export interface RegistryKind {
  readonly name: RegistryName;
  /** What it is called above its column in the terminal, and in Markdown. */
  readonly title: string;
  readonly markdown: string;
  /** What must be installed. */
  readonly needs: readonly ServerName[];
  /** Starts it on a storage of its own, which goes when it is stopped. */
  start(): Promise<Registry>;
}

/** All of them, in the order of their columns. */
export const registryKinds: readonly RegistryKind[] = [
  {
    name: 'folder',
    title: 'folder',
    markdown: '`npm run serve` on a folder',
    needs: [],
    start: async () => await onFolder(serve),
  },
  {
    name: 'swift',
    title: 'S3 (Swift)',
    markdown: '`npm run serve` on S3 (Swift), without redirects',
    needs: onSwift.needs,
    start: async () => await onBucket(onSwift),
  },
  {
    name: 'scs',
    title: 'SCS',
    markdown: '`npm run serve` on a stand-in for SCS, without redirects',
    needs: onScs.needs,
    start: async () => await onBucket(onScs),
  },
  {
    name: 'start',
    title: 'npm start',
    markdown: '`npm start`',
    needs: [],
    start: async () => await onFolder(start),
  },
];

async function onFolder(startOn: typeof serve): Promise<Registry> {
  const storage = await folderStorage();
  const registry = await startOn(storage.settings);
  return {
    address: registry.address,
    stop: async () => {
      await registry.stop();
      storage.remove();
    },
  };
}

/** Without redirects, as a bucket cannot send `Docker-Content-Digest`, which the suite is set to check. */
async function onBucket(kind: BucketKind): Promise<Registry> {
  const buckets = await kind.start();
  try {
    const registry = await serve(
      (await buckets.newBucket({ REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' })).settings,
    );
    return {
      address: registry.address,
      stop: async () => {
        await registry.stop();
        await buckets.stop();
      },
    };
  } catch (error) {
    await buckets.stop();
    throw error;
  }
}
