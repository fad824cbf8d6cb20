import { soakCollectionsOn } from './on-grounds.ts';

soakCollectionsOn('MinIO', ['minio'], { seed: 2, pushes: 80, isHarmed: true, deletesUntagged: false });
