import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { serve } from '../servers/stowage.ts';
import { containerdFlow } from './containerd.ts';
import { dockerFlow } from './docker.ts';
import { interopFlow } from './interop.ts';
import { skopeoFlow } from './skopeo.ts';

const NAME = 'npm run serve';

it('npm run serve responds and exits with 0 on SIGTERM', async () => {
  const folder = await temporaryFolder('serve');
  const registry = await serve(join(folder.path, 'registry'));
  const response = await fetch(`http://${registry.address}/v2/`);
  assert.equal(response.headers.get('docker-distribution-api-version'), 'registry/2.0');
  await registry.stop();
  folder.remove();
});

dockerFlow(NAME, serve);
containerdFlow(NAME, serve);
skopeoFlow(NAME, serve, { tags: 1005 });
for (const original of [distribution2, distribution3]) interopFlow(NAME, serve, undefined, original);
