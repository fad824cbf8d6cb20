import { randomBytes } from 'node:crypto';
import { loadConfig } from '../../lib/config.ts';
import { openStore } from '../../functions/services.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder } from './folder.ts';
import { s3Settings, type S3Server } from './s3.ts';

/** A place for images of a test's own. */
export interface TestStorage {
  /** What a registry reads to use it. */
  readonly settings: Readonly<Record<string, string>>;
  /** Opens it beside the registry. */
  open(): Promise<ObjectStore>;
  remove(): void;
}

/** A temporary folder. */
export async function folderStorage(): Promise<TestStorage> {
  const folder = await temporaryFolder('images');
  return testStorage({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path }, () => {
    folder.remove();
  });
}

/** A new bucket of a server, which goes with the server. */
export async function bucketStorage(
  server: S3Server,
  more: Record<string, string> = {},
): Promise<TestStorage> {
  const bucket = `images-${randomBytes(4).toString('hex')}`;
  await server.createBucket(bucket);
  return testStorage({ ...s3Settings(server, bucket), ...more }, () => undefined);
}

function testStorage(settings: Record<string, string>, remove: () => void): TestStorage {
  const open = async () => await openStore(loadConfig('maintenance', settings).storage, { check: false });
  return { settings, open, remove };
}
