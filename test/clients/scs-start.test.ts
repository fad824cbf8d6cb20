import { onScs } from '../servers/buckets.ts';
import { start } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { onBuckets } from './on-buckets.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm start';

/** MB: more than a function takes, and no more, as uploads go through the same server as with npm run serve. */
const LAYER = 40;

onBuckets(onScs, (newBucket) => {
  const startOnBucket = async () => await start((await newBucket()).settings);
  dockerFlow(NAME, startOnBucket, LAYER);
  containerdFlow(NAME, startOnBucket);
  skopeoFlow(NAME, startOnBucket);
});
