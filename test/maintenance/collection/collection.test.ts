import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { collectAll, contentOf, onCollectedStores, pause, unitMs } from './collecting.ts';
import { fill } from './filled-bucket.ts';

const blobPrefix = 'docker/registry/v2/blobs/';
const repositoryPrefix = 'docker/registry/v2/repositories/';

onCollectedStores('a collection', (open) => {
  for (const deleteUntagged of [false, true])
    it(`deletes exactly what a dry run shows${deleteUntagged ? ', with untagged manifests' : ''}`, async () => {
      const store = await open();
      const filled = await fill(store);
      await pause(unitMs);
      const before = await contentOf(store);
      const shown = new Garbage();
      await look(store, { youngMs: 0, ...(deleteUntagged && { untagged: () => 0 }) }, shown);
      const reports = await collectAll(store, { deleteUntagged });
      const { garbage } = reports.find(({ condemned }) => condemned !== undefined) ?? {};
      assert.deepEqual(garbage?.repositories, shown.repositories);
      const { deleted } = reports.find(({ deleted: { blobs } }) => blobs.number > 0) ?? {};
      const { freed } = shown;
      assert.deepEqual(
        {
          ...deleted?.blobs,
          manifests: deleted?.manifests,
          links: deleted?.links,
          repositories: deleted?.repositories.size,
        },
        {
          number: freed.blobs,
          bytes: freed.bytes,
          manifests: freed.manifests,
          links: freed.links,
          repositories: freed.repositories,
        },
      );
      const after = new Set(await contentOf(store));
      const gone = before.filter((key) => !after.has(key));
      assert.deepEqual(
        [...after].filter((key) => !before.includes(key)),
        [],
      );
      const digests = gone
        .filter((key) => key.startsWith(blobPrefix))
        .map((key) => `sha256:${key.split('/').at(-2)}`);
      const { freed: expected } = deleteUntagged ? filled.untagged : filled.kept;
      assert.deepEqual(digests.map((digest) => filled.bucket.nameOf(digest)).sort(), [...expected].sort());
      assert.equal(gone.filter((key) => key.startsWith(repositoryPrefix)).length, freed.links);
    });
});
