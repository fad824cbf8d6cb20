import { randomBytes } from 'node:crypto';
import { loadConfig } from '../../lib/config/config.ts';
import { openStore } from '../../lib/compose.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { keepSecrets } from '../logs/kept.ts';
import { temporaryFolder } from './folder.ts';
import { s3Settings, type S3Server } from './s3.ts';
import type { ScsServer } from './scs.ts';

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
  const bucket = await newBucket(server);
  return testStorage({ ...s3Settings(server, bucket), ...more }, () => undefined);
}

/** A new bucket of SCS, which goes with the server. */
export async function scsStorage(server: ScsServer, more: Record<string, string> = {}): Promise<TestStorage> {
  const bucket = await newBucket(server);
  return testStorage({ ...scsSettings(server, bucket), ...more }, () => undefined);
}

async function newBucket(server: Pick<S3Server, 'createBucket'>): Promise<string> {
  const bucket = `images-${randomBytes(4).toString('hex')}`;
  await server.createBucket(bucket);
  return bucket;
}

/** Opens a bucket as a registry does at its start, which then knows what the server can do. */
export async function openS3(settings: TestStorage['settings']): Promise<S3Store> {
  const { storage } = loadConfig('maintenance', settings);
  if (storage.kind !== 's3') throw new Error(`the settings are of ${storage.kind}`);
  const store = new S3Store(storage);
  await store.check();
  return store;
}

/** What a registry reads to keep its images in a bucket of SCS. */
export function scsSettings(
  { endpoint, accessKey, secretKey }: Pick<ScsServer, 'endpoint' | 'accessKey' | 'secretKey'>,
  bucket: string,
): Record<string, string> {
  return {
    REGISTRY_STORAGE_SCS_REGIONENDPOINT: endpoint,
    REGISTRY_STORAGE_SCS_ACCESSKEY: accessKey,
    REGISTRY_STORAGE_SCS_SECRETKEY: secretKey,
    REGISTRY_STORAGE_SCS_BUCKET: bucket,
  };
}

function testStorage(settings: Record<string, string>, remove: () => void): TestStorage {
  keepSecrets(settings);
  const open = async () => {
    const { storage, collection } = loadConfig('maintenance', settings);
    return await openStore(storage, { check: false, fence: collection.fence });
  };
  return { settings, open, remove };
}
