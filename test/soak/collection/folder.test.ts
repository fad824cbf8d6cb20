import { soakCollectionsOn } from './on-grounds.ts';

// npm run soak -- --gc does many more, with docker and other clients.
soakCollectionsOn(
  'folder',
  [],
  { seed: 4, pushes: 1200, isHarmed: true, deletesUntagged: true },
  { seed: 5, pushes: 1000, isHarmed: false, deletesUntagged: true },
);
