/** A folder with images, and the command stowage on it. */
import { after, before } from 'node:test';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { runStowage } from '../infra/run-node.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

let storage: TestStorage;
export let store: ObjectStore;

before(async () => {
  storage = await folderStorage();
  store = await storage.open();
});

after(() => {
  storage.remove();
});

export const rootDirectory = (): string =>
  storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '';

/** Runs a command with the settings of the folder, and more. */
export async function stowage(args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  return await runStowage(args, { ...storage.settings, ...more });
}
