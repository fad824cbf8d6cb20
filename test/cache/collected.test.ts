import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { verify } from '../../lib/maintenance/verify/verify.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { blobData, layerLink, revisionLink, tagLink } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import { collectAll, condemn, pause, unitMs } from '../maintenance/collection/collecting.ts';
import {
  byDigest,
  digestOf,
  fresh,
  imageOf,
  indexOf,
  push,
  pushBlob,
  tagged,
} from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

/** An index of two images, one of which was pulled, without its layer. */
interface PartlyPulled {
  readonly name: RepositoryName;
  readonly index: Digest;
  readonly image: Digest;
  readonly config: Digest;
  readonly layer: Digest;
}

describe('a cache that has only what was pulled', () => {
  const fixture = cacheFixture();

  async function partlyPulled(cache: Registry): Promise<PartlyPulled> {
    const remote = fresh();
    const [config, layer, other] = [await pushBlob(remote), await pushBlob(remote), await pushBlob(remote)];
    const [image, never] = [imageOf(config, [layer]), imageOf(other, [])];
    for (const one of [image, never]) await push(remote, one, digestOf(one));
    const index = indexOf([digestOf(image), digestOf(never)]);
    await push(remote, index, 'v1');
    const name = parseRepositoryName(`mirror/${remote}`);
    await cache.manifests.get(name, tagged('v1'));
    await cache.manifests.get(name, byDigest(digestOf(image)));
    await read(cache, name, config);
    return { name, index: digestOf(index), image: digestOf(image), config, layer };
  }

  async function keysOf({ name, index, image, config }: PartlyPulled): Promise<boolean[]> {
    const keys = [
      ...[tagLink(name, 'v1' as never), revisionLink(name, index), revisionLink(name, image)],
      ...[layerLink(name, config), blobData(index), blobData(image), blobData(config)],
    ];
    return await Promise.all(keys.map(async (key) => await exists(fixture().store, key)));
  }

  it('is whole to verify, and another repository like it would not be', async () => {
    const { start, store } = fixture();
    const { name } = await partlyPulled(start());
    const options = { repositories: [name], settleMs: 0 };
    assert.deepEqual(await Array.fromAsync(verify(store, { ...options, isCache: () => true })), []);
    assert.ok((await Array.fromAsync(verify(store, options))).length > 0);
  });

  it('loses nothing to garbage collection that a tag reaches, and all of it with the tag', async () => {
    const { start, store } = fixture();
    const cache = start();
    const pulled = await partlyPulled(cache);
    await pause(unitMs);
    await collectAll(store);
    assert.deepEqual(
      await keysOf(pulled),
      Array.from({ length: 7 }, () => true),
    );
    await cache.manifests.delete(pulled.name, tagged('v1'));
    await pause(unitMs);
    await collectAll(store);
    assert.deepEqual(
      await keysOf(pulled),
      Array.from({ length: 7 }, () => false),
    );
    // And comes again.
    const { info } = await cache.manifests.get(pulled.name, tagged('v1'));
    assert.equal(info.digest, pulled.index);
    await cache.manifests.get(pulled.name, byDigest(pulled.image));
    await read(cache, pulled.name, pulled.layer);
  });

  it('what is pulled while it is condemned stays', async () => {
    const { start, store } = fixture();
    const pulled = await partlyPulled(start());
    await start().manifests.delete(pulled.name, tagged('v1'));
    await pause(unitMs);
    await condemn(store);
    const cache = start();
    await cache.manifests.get(pulled.name, tagged('v1'));
    await cache.manifests.get(pulled.name, byDigest(pulled.image));
    await collectAll(store);
    await cache.manifests.get(pulled.name, tagged('v1'));
    await cache.manifests.get(pulled.name, byDigest(pulled.image));
    for (const digest of [pulled.config, pulled.layer]) await read(cache, pulled.name, digest);
  });
});

async function read(cache: Registry, name: RepositoryName, digest: Digest): Promise<void> {
  const blob = await cache.blobs.stat(name, digest, { isPulled: true });
  const body = await cache.blobs.open(name, blob);
  const bytes = Buffer.isBuffer(body) ? body : await buffer(body);
  assert.equal(digestOf(bytes), digest);
}
