import { folderStorage } from '../servers/storage.ts';
import { hangUps } from './hang-ups.ts';

hangUps(folderStorage);
