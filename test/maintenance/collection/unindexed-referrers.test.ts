import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { parseReference } from '../../../lib/protocol/references.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { folderStorage, type TestStorage } from '../../servers/storage.ts';
import { complete, condemn, contentOf, lookAgain, pause, unitMs } from './collecting.ts';
import { about, FilledBucket } from './filled-bucket.ts';
import { lacking } from './interrupted-collection.ts';

const name = parseRepositoryName('team/app');

describe('a push that rescues what a referrer is about', () => {
  let storage: TestStorage;

  before(async () => {
    storage = await folderStorage();
  });
  after(() => {
    storage.remove();
  });

  it('rescues the referrer as well, although it is not in the index, with all that it needs', async () => {
    const store = await storage.open();
    const bucket = new FilledBucket(store);
    // As if they had been pushed through distribution.
    const image = await bucket.image(name, 'image', []);
    const sbom = await bucket.image(name, 'sbom', [await bucket.layer(name, 'sbom-layer')], about(image));
    await bucket.image(name, 'signature', [], about(sbom));
    await bucket.image(name, 'other', []);
    await pause(unitMs);
    const mark = await condemn(store);
    await lookAgain(store);
    const { bytes, mediaType } = image;
    await createRegistry(store).manifests.put(name, parseReference('v1'), bytes, mediaType);
    const { deleted } = await complete(store, mark);
    const blobs = (await contentOf(store)).filter((key) => key.startsWith('docker/registry/v2/blobs/'));
    assert.deepEqual(blobs.map((key) => bucket.nameOf(`sha256:${key.split('/').at(-2)}`)).sort(), [
      'image',
      'image-config',
      'sbom',
      'sbom-config',
      'sbom-layer',
      'signature',
      'signature-config',
    ]);
    assert.deepEqual(await lacking(store), []);
    assert.equal(deleted.manifests, 1);
  });
});
