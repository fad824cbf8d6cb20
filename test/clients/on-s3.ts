import { after, before, describe } from 'node:test';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage, type TestStorage } from '../servers/storage.ts';
import { swift } from '../servers/swift.ts';

/** Makes a new bucket. `more` are settings of the registries on it. */
export type NewBucket = (more?: Record<string, string>) => Promise<TestStorage>;

/** Tests on buckets of OpenStack Swift, one server for all of them. */
export function onS3(tests: (newBucket: NewBucket) => void): void {
  describe('on S3,', requires('swift-proxy-server'), () => {
    let server: S3Server;

    before(async () => {
      server = await swift();
    });

    after(async () => {
      await server.stop();
    });

    tests(async (more) => await bucketStorage(server, more));
  });
}
