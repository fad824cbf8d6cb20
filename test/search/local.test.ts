import { backendSuite } from './backend-suite.ts';
import { interleavings } from './interleavings.ts';
import { groundOf, onFiles } from './list-ground.ts';

backendSuite('in a local file', {}, async () => await groundOf(onFiles), 100);

interleavings('a local file', {}, onFiles);
