import { after, before, describe } from 'node:test';
import { onSwift, onVersitygw, s3Kinds } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage, openS3, type TestStorage } from '../servers/storage.ts';
import { storeContract } from './contract.ts';

const MiB = 1024 ** 2;

for (const kind of s3Kinds)
  describe(`on ${kind.name},`, requires(...kind.needs), () => {
    let server: S3Server;
    let bucket: TestStorage;

    before(async () => {
      server = await kind.start();
      bucket = await bucketStorage(server, { REGISTRY_STORAGE_S3_CHUNKSIZE: String(5 * MiB) });
    });

    after(async () => {
      await server.stop();
    });

    storeContract(
      'S3',
      async () => {
        const store = await openS3(bucket.settings);
        return {
          store,
          close: () => {
            store.close();
            return Promise.resolve();
          },
        };
      },
      {
        metadata: true,
        runs: 30,
        exactEnds: kind !== onVersitygw,
        // It compares and writes in two steps.
        exactCreation: kind !== onVersitygw,
        ...(kind !== onSwift && { lag: 0 }),
      },
    );
  });
