import { onSwift } from '../servers/buckets.ts';
import { distribution2, distribution3 } from '../servers/distribution.ts';
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

  const place = (name: string, more: Record<string, string>): InteropPlace => ({
    name,
    // Distribution 3 puts the bucket's name into the host by default.
    make: async () => await newBucket({ REGISTRY_STORAGE_S3_FORCEPATHSTYLE: 'true', ...more }),
    listingLag: LISTING_LAG,
  });
  for (const original of [distribution2, distribution3])
    interopFlow(NAME, serve, place('bucket', {}), original);
  const below = { REGISTRY_STORAGE_S3_ROOTDIRECTORY: 'team/registry' };
  interopFlow(NAME, serve, { ...place('root directory of a bucket', below), oneWay: true });
});
