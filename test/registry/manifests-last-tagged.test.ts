import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { revisionLink, tagLink } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { StoreUnavailable } from '../../lib/storage/store.ts';
import { indexType, manifest } from '../functions/client.ts';
import { intercepted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const tag = parseReference('v1');
const [first, second] = ['1', '2'].map((i) => manifest({ manifests: [], annotations: { i } }, indexType)) as [
  Buffer,
  Buffer,
];
const digest = parseDigest(digestOf(first, 'sha256'));

describe('a tag that this process has read before', () => {
  let store: ObjectStore;
  let elsewhere: Registry;
  let registry: Registry;
  let before: (method: string, key: unknown) => unknown;

  const pushed = async (bytes: Buffer) => await elsewhere.manifests.put(name, tag, bytes, undefined);

  beforeEach(async () => {
    before = () => undefined;
    store = new MemoryStore({ conditionalWrites: true });
    elsewhere = createRegistry(store);
    registry = createRegistry(intercepted(store, async (method, [key]) => await before(method, key)));
    await pushed(first);
    assert.deepEqual((await registry.manifests.get(name, tag)).bytes, first);
  });

  it('a tag that another process moves or deletes is read anew', async () => {
    await pushed(second);
    assert.deepEqual((await registry.manifests.get(name, tag)).bytes, second);
    await elsewhere.manifests.delete(name, tag);
    await assert.rejects(registry.manifests.get(name, tag), { failure: 'MANIFEST_UNKNOWN' });
  });

  it('a manifest that another process deletes is gone by its tag', async () => {
    await store.delete([revisionLink(name, digest)]);
    await assert.rejects(registry.manifests.get(name, tag), { failure: 'MANIFEST_UNKNOWN' });
  });

  it('a manifest that is deleted and pushed again while it is read is not missing', async () => {
    await elsewhere.manifests.delete(name, { kind: 'digest', digest });
    // Between the look at its link and the read of its tag.
    before = async (method) => {
      if (method === 'read') await pushed(first);
    };
    assert.deepEqual((await registry.manifests.get(name, tag)).bytes, first);
  });

  it('a tag that has moved does not need the manifest it pointed at', async () => {
    await pushed(second);
    before = (method, key) => {
      if (method === 'head' && key === revisionLink(name, digest))
        throw new StoreUnavailable(revisionLink(name, digest), 'it cannot be read');
    };
    assert.deepEqual((await registry.manifests.get(name, tag)).bytes, second);
    assert.ok((await store.head(tagLink(name, parseTag('v1')))).size > 0);
  });
});
