import { start } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { interopFlow } from './interop.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm start';

dockerFlow(NAME, start);
containerdFlow(NAME, start);
skopeoFlow(NAME, start);
interopFlow(NAME, start);
