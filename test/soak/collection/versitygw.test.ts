import { soakCollectionsOn } from './on-grounds.ts';

soakCollectionsOn('versitygw', ['versitygw'], { seed: 6, pushes: 80, isHarmed: true, deletesUntagged: true });
