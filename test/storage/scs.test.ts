import { after, before, describe } from 'node:test';
import { ScsStore, type ScsOptions } from '../../lib/storage/scs.ts';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { storeContract } from './contract.ts';

const BUCKET = 'images';

describe('SCS store', () => {
  let server: ScsServer;

  before(async () => {
    server = await startScs();
    await server.createBucket(BUCKET);
  });

  after(async () => {
    await server.stop();
  });

  const options = (more: Partial<ScsOptions> = {}): ScsOptions => ({
    bucket: BUCKET,
    region: undefined,
    endpoint: server.endpoint,
    accessKey: server.accessKey,
    secretKey: server.secretKey,
    rootDirectory: '',
    partSize: 5 * 1024 ** 2,
    patience: { attempts: 5, total: 0, pause: 20 },
    ...more,
  });

  const open = async (more: Partial<ScsOptions> = {}) => {
    const store = new ScsStore(options(more));
    await store.check();
    return {
      store,
      close: () => {
        store.close();
        return Promise.resolve();
      },
    };
  };

  storeContract('SCS', open, { runs: 30 });
});
