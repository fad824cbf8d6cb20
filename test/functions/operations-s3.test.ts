import { after, before, describe } from 'node:test';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage } from '../servers/storage.ts';
import { swift } from '../servers/swift.ts';
import { tableOfOperations } from './operations/table.ts';

describe('the table of operations on S3', requires('swift-proxy-server'), () => {
  let server: S3Server;

  before(async () => {
    server = await swift();
  });

  after(async () => {
    await server.stop();
  });

  tableOfOperations(async () => await bucketStorage(server), { functions: 'bytes' });
});
