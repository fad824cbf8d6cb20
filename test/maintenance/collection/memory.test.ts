import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { it } from 'node:test';
import { runNode } from '../../infra/run-node.ts';

const scale = fileURLToPath(new URL('scale.ts', import.meta.url));

interface Phase {
  readonly phase: string;
  readonly blobs?: number;
  readonly freed?: object;
  readonly condemned?: number;
  readonly deleted?: object;
}

it('a collection of 60,000 blobs takes no more heap than one of none: a text for each would need 12 MB more', async () => {
  const flags = ['--max-old-space-size=24', '--max-semi-space-size=2'];
  const { code, output, errors } = await runNode([...flags, scale, '600'], {});
  assert.equal(code, 0, errors);
  const phases = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Phase);
  // One blob of each repository, and in each tenth a manifest with 8 blobs and an entry of a tag's history.
  const [images, links] = [60, 600 + 60 * 10];
  const [blobs, bytes] = [600 + 60 * 9, (600 + 60 * 9) * 1_000_000];
  const freed = { repositories: 600, emptied: 0, manifests: images, links, blobs, bytes };
  assert.deepEqual(
    phases.map(({ phase, blobs, freed, condemned, deleted }) => [phase, blobs, freed, condemned, deleted]),
    [
      ['first look', 60_001, freed, blobs, undefined],
      ['second look', undefined, undefined, undefined, undefined],
      ['deletions', undefined, undefined, undefined, { blobs, bytes, manifests: images, links }],
    ],
  );
});
