import { soakCollectionsOn } from './on-grounds.ts';

// Nothing is deleted there: each collection is refused, and says why.
soakCollectionsOn('SCS', [], { seed: 2, pushes: 40, isHarmed: true, deletesUntagged: true });
