import { describe } from 'node:test';
import { folderStorage } from '../servers/storage.ts';
import { originalBucket } from './original-bucket.ts';

describe('a folder filled by the original registry', () => {
  originalBucket(folderStorage);
});
