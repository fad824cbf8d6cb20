import { onScs } from '../servers/buckets.ts';
import { serve } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { onBuckets } from './on-buckets.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm run serve';

onBuckets(onScs, (newBucket) => {
  const startOnBucket = async () => await serve((await newBucket()).settings);
  dockerFlow(NAME, startOnBucket);
  containerdFlow(NAME, startOnBucket);
  skopeoFlow(NAME, startOnBucket);
});
