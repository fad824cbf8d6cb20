import { onScs } from '../servers/buckets.ts';
import { serve } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { onBuckets } from './on-buckets.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm run serve';

/** MB: many parts of a multipart upload. On a folder it is larger. */
const LAYER = 64;

onBuckets(onScs, (newBucket) => {
  const startOnBucket = async () => await serve((await newBucket()).settings);
  dockerFlow(NAME, startOnBucket, LAYER);
  containerdFlow(NAME, startOnBucket);
  skopeoFlow(NAME, startOnBucket);
});
