import { start } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { interopFlow } from './interop.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm start';

/** MB: more than a function takes, and no more, as uploads go through the same server as with npm run serve. */
const LAYER = 40;

dockerFlow(NAME, start, LAYER);
containerdFlow(NAME, start);
skopeoFlow(NAME, start);
interopFlow(NAME, start);
