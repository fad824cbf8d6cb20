import { after, before, describe } from 'node:test';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage } from '../servers/storage.ts';
import { swift } from '../servers/swift.ts';
import { originalBucket } from './original-bucket.ts';

describe('a bucket filled by the original registry', requires('swift-proxy-server'), () => {
  let server: S3Server;

  before(async () => {
    server = await swift();
  });

  after(async () => {
    await server.stop();
  });

  // With the slashes that distribution lets its users write.
  originalBucket(
    async () => await bucketStorage(server, { REGISTRY_STORAGE_S3_ROOTDIRECTORY: '/team/registry/' }),
  );
});
