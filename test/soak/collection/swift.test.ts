import { soakCollectionsOn } from './on-grounds.ts';

soakCollectionsOn('Swift', ['swift-proxy-server'], {
  seed: 2,
  pushes: 20,
  isHarmed: true,
  deletesUntagged: true,
});
