import assert from 'node:assert/strict';
import { it } from 'node:test';
import { copyImage } from '../../lib/copy/copy-image.ts';
import { fromStorage } from '../../lib/copy/from-storage.ts';
import type { CopySource } from '../../lib/copy/source.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { freshName, pull, pushImage, pushIndex, pushManifest, v1 } from '../registry/undo/images.ts';
import { attach, signatureTag } from './attached.ts';

/** A repository with a signed image of its own, and a source whose author wants another signature there. */
async function prepared() {
  const store = new MemoryStore();
  const registry = createRegistry(store);
  const [source, target] = [freshName(), freshName()];
  const own = await pushImage(store, target, 'own');
  const { digest: signature } = await pushImage(store, target, signatureTag(own.digest));
  await pushImage(store, source, signatureTag(own.digest));
  const copy = async (more: Partial<CopySource> = {}) => {
    const from = fromStorage(store, registry, source);
    await copyImage(
      // Methods of a class are not copied by a spread.
      Object.assign(Object.create(from) as CopySource, more),
      { registry, name: target, immutable: undefined, pushedBy: 'operator:test', announce: undefined },
      parseReference('v1'),
      { tag: v1, referrers: true },
    );
  };
  const signed = async () => await pull(store, target, parseTag(signatureTag(own.digest)));
  const referrers = async () => {
    const page = { n: 100, last: undefined };
    return (await registry.referrers.list(target, own.digest, page, undefined)).descriptors;
  };
  return { store, source, target, own, signature, copy, signed, referrers };
}

it('a source that lists an image of the target as a referrer of its own brings that no signature and no referrer', async () => {
  const { store, source, own, signature, copy, signed, referrers } = await prepared();
  const image = await pushImage(store, source, 'v1');
  const foreign = await attach(store, source, { digest: own.digest, size: own.bytes.length });
  await copy({
    referrers: async (subject: Digest) =>
      await Promise.resolve(subject === image.digest ? [own.digest, foreign] : []),
  });
  assert.equal(await signed(), signature);
  assert.deepEqual(await referrers(), []);
});

it('a source that has an image of the target in an index of its own does not replace its signature', async () => {
  const { store, source, target, own, signature, copy, signed } = await prepared();
  for (const blob of own.blobs) await createRegistry(store).blobs.mount(source, blob, target);
  await pushManifest(store, source, own.bytes);
  await pushIndex(store, source, [own], 'v1');
  await copy();
  assert.equal(await signed(), signature);
});
