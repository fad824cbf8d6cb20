import { onSwift } from '../servers/buckets.ts';
import { start } from '../servers/stowage.ts';
import { dockerFlow } from './docker.ts';
import { onBuckets } from './on-buckets.ts';

const NAME = 'npm start';

/** MB: more than a function takes, and no more, as uploads go through the same server as with npm run serve. */
const LAYER = 40;

// containerd and skopeo push to npm start on a folder, and to npm run serve on this bucket.
onBuckets(onSwift, (newBucket) => {
  const startOnBucket = async () => await start((await newBucket()).settings);
  dockerFlow(NAME, startOnBucket, LAYER);
});
