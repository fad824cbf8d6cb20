import { onSwift } from '../servers/buckets.ts';
import { serve } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { interopFlow, type InteropPlace } from './interop.ts';
import { onBuckets } from './on-buckets.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm run serve';

/** MB: many parts of a multipart upload. On a folder it is larger. */
const LAYER = 64;

/** Milliseconds in which Swift must show in a listing what was written: it takes note of some writes only afterwards. */
const LISTING_LAG = 10_000;

onBuckets(onSwift, (newBucket) => {
  const start = async () => await serve((await newBucket()).settings);
  dockerFlow(NAME, start, LAYER);
  containerdFlow(NAME, start);
  skopeoFlow(NAME, start);

  const place = (name: string, make: InteropPlace['make']) => ({ name, make, listingLag: LISTING_LAG });
  interopFlow(NAME, serve, place('bucket', newBucket));
  const below = { REGISTRY_STORAGE_S3_ROOTDIRECTORY: 'team/registry' };
  interopFlow(NAME, serve, {
    ...place('root directory of a bucket', async () => await newBucket(below)),
    oneWay: true,
  });
});
