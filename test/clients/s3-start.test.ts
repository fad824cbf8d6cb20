import { start } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { onS3 } from './on-s3.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm start';

onS3((newBucket) => {
  const startOnBucket = async () => await start((await newBucket()).settings);
  dockerFlow(NAME, startOnBucket);
  containerdFlow(NAME, startOnBucket);
  skopeoFlow(NAME, startOnBucket);
});
