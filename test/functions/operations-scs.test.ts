import { after, before, describe } from 'node:test';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { scsStorage } from '../servers/storage.ts';
import { tableOfOperations } from './operations/table.ts';

describe('the table of operations on SCS', () => {
  let server: ScsServer;

  before(async () => {
    server = await startScs();
  });

  after(async () => {
    await server.stop();
  });

  tableOfOperations(async () => await scsStorage(server));
});
