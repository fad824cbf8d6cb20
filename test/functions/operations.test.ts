import { describe } from 'node:test';
import { folderStorage } from '../servers/storage.ts';
import { tableOfOperations } from './operations/table.ts';

describe('the table of operations on a folder', () => {
  tableOfOperations(folderStorage, { wire: true });
});
