import { after, before, describe } from 'node:test';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { scsStorage } from '../servers/storage.ts';
import { originalBucket } from './original-bucket.ts';

describe('a bucket of SCS filled by the original registry', () => {
  let server: ScsServer;

  before(async () => {
    server = await startScs();
  });

  after(async () => {
    await server.stop();
  });

  originalBucket(async () => await scsStorage(server));
});
