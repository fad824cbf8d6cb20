import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { needsOf } from '../../../lib/registry/collection/needs.ts';
import { folderStorage } from '../../servers/storage.ts';
import { digestOf } from '../undo/images.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

describe('what a manifest needs', async () => {
  const storage = await folderStorage();
  after(() => {
    storage.remove();
  });

  it('may be a chain of any length, and is in an order from its end', async () => {
    const chain = new Map<Digest, Buffer>();
    let top: { readonly digest: Digest; readonly bytes: Buffer } | undefined;
    for (let number = 0; number < 4000; number++) {
      const manifests =
        top === undefined ? [] : [{ mediaType: indexType, digest: top.digest, size: top.bytes.length }];
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }));
      top = { digest: digestOf(bytes), bytes };
      chain.set(top.digest, bytes);
    }
    assert.ok(top);
    const { groups } = await needsOf(await storage.open(), parseRepositoryName('team/app'), top, {
      load: (digest) => Promise.resolve(chain.get(digest)),
      isRequired: () => true,
    });
    assert.deepEqual(
      groups,
      [...chain.keys()].map((digest) => [digest]),
    );
  });
});
