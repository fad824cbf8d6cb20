import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { it } from 'node:test';
import { runNode } from '../../infra/run-node.ts';

const scale = fileURLToPath(new URL('scale.ts', import.meta.url));

it('a look at 60,000 blobs takes no more heap than one at none: a text for each would need 12 MB more', async () => {
  const flags = ['--max-old-space-size=24', '--max-semi-space-size=2'];
  const { code, output, errors } = await runNode([...flags, scale, '600'], {});
  assert.equal(code, 0, errors);
  const looks = output.trim().split('\n');
  const found = looks.map((line) => JSON.parse(line) as { blobs: number; freed: object; requests: number });
  const freed = { repositories: 600, emptied: 0, manifests: 0, links: 600, blobs: 600, bytes: 600_000_000 };
  assert.deepEqual(
    found.map((look) => [look.blobs, look.freed]),
    [
      [60_001, freed],
      [60_001, freed],
    ],
  );
});
