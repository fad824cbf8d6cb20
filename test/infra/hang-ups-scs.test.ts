import { after, before, describe } from 'node:test';
import { onScs, type Buckets } from '../servers/buckets.ts';
import { hangUps } from './hang-ups.ts';

describe('on SCS', () => {
  let buckets: Buckets;

  before(async () => {
    buckets = await onScs.start();
  });

  after(async () => {
    await buckets.stop();
  });

  hangUps(async () => await buckets.newBucket());
});
