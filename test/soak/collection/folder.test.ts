import { soakCollectionsOn } from './on-grounds.ts';

// npm run soak -- --gc does many more.
soakCollectionsOn('folder', [], { seed: 4, pushes: 300, deletesUntagged: true });
