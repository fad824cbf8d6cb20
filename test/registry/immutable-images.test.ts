import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { descriptor, imageType, indexType, manifest } from '../functions/client.ts';
import { digestOf, immutable, name, rule } from './immutable-steps.ts';
import { MemoryStore } from './memory-store.ts';

const denied = { failure: 'DENIED', rule };

/** A repository with an image of a config and a layer, as `tag` or by its digest. */
function repository() {
  const store = new MemoryStore();
  const registry = createRegistry(store);
  const pushBlob = async (text: string) => {
    const bytes = Buffer.from(text);
    async function* body() {
      yield await Promise.resolve(bytes);
    }
    await registry.uploads.put(name, digestOf(bytes), { body: body(), length: bytes.byteLength });
    return bytes;
  };
  const pushManifest = async (bytes: Buffer, type: string, tag?: string) => {
    await registry.manifests.put(name, parseReference(tag ?? digestOf(bytes)), bytes, type, { immutable });
    return bytes;
  };
  const pushImage = async (what: string, tag?: string) => {
    const [config, layer] = [await pushBlob(`{"config":"${what}"}`), await pushBlob(`layer of ${what}`)];
    const image = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    await pushManifest(image, imageType, tag);
    return { image, config: digestOf(config), layer: digestOf(layer) };
  };
  const pushIndex = async (children: readonly { bytes: Buffer; type: string }[], tag?: string) => {
    const manifests = children.map(({ bytes, type }) => ({ ...descriptor(bytes), mediaType: type }));
    return await pushManifest(manifest({ manifests }, indexType), indexType, tag);
  };
  return {
    pushImage,
    pushIndex,
    deleteBlob: async (digest: Digest) => {
      await registry.blobs.delete(name, digest, { immutable });
    },
    deleteManifest: async (bytes: Buffer) => {
      await registry.manifests.delete(name, parseReference(digestOf(bytes)), { immutable });
    },
    deleteTag: async (tag: string) => {
      await registry.manifests.delete(name, parseReference(tag), { immutable });
    },
    store,
  };
}

describe('the image of an immutable tag', () => {
  it('keeps its config and layers, and says which tag needs them', async () => {
    const { pushImage, deleteBlob, store } = repository();
    const { config, layer } = await pushImage('release', 'v1');
    const before = new Map(store.objects);
    for (const digest of [config, layer])
      await assert.rejects(deleteBlob(digest), {
        ...denied,
        message: `tag v1 is immutable: ${rule}; it needs ${digest}`,
      });
    assert.deepEqual(store.objects, before);
  });

  it('keeps the manifests of its index, and of an index within that, with their layers', async () => {
    const { pushImage, pushIndex, deleteBlob, deleteManifest } = repository();
    const { image, layer } = await pushImage('platform');
    const inner = await pushIndex([{ bytes: image, type: imageType }]);
    await pushIndex([{ bytes: inner, type: indexType }], 'v1');
    for (const bytes of [image, inner]) await assert.rejects(deleteManifest(bytes), denied);
    await assert.rejects(deleteBlob(layer), denied);
  });

  it('lets blobs and manifests be deleted that no immutable tag needs', async () => {
    const { pushImage, pushIndex, deleteBlob, deleteManifest, deleteTag } = repository();
    await pushImage('release', 'v1');
    const { image, layer, config } = await pushImage('nightly');
    const index = await pushIndex([{ bytes: image, type: imageType }], 'latest');
    await deleteManifest(index);
    await deleteManifest(image);
    await deleteBlob(layer);
    await deleteBlob(config);
    const other = await pushImage('another', 'moved');
    await deleteTag('moved');
    await deleteManifest(other.image);
  });
});
