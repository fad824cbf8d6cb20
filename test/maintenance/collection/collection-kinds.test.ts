import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { rescueKey } from '../../../lib/registry/layout.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { complete, condemn, contentOf, lookAgain, onCollectedStores, pause, unitMs } from './collecting.ts';
import { about, FilledBucket, type Thing } from './filled-bucket.ts';
import { lacking } from './interrupted-collection.ts';

const schema1 = 'application/vnd.docker.distribution.manifest.v1+json';

/** Puts something into a repository whose blobs no other has. @returns the manifest that needs all, or that all is about */
type Fill = (bucket: FilledBucket, at: string) => Promise<Thing>;

const kinds: Readonly<Record<string, Fill>> = {
  'schema 1, with a signature': async (bucket, at) => {
    const layer = await bucket.layer(at, `${at} layer`);
    const manifest = await bucket.manifest(at, `${at} schema 1`, schema1, {
      schemaVersion: 1,
      fsLayers: [{ blobSum: layer.digest }],
      history: [{ v1Compatibility: '{}' }],
    });
    const signature = bucket.some(`${at} signature`);
    await bucket.bytes(signature);
    const folder = `repositories/${at}/_manifests/revisions/sha256/${manifest.hex}/signatures`;
    await bucket.put(`${folder}/sha256/${signature.hex}/link`, signature.digest);
    return manifest;
  },

  'an index that names blobs': async (bucket, at) =>
    await bucket.index(at, `${at} cache`, [
      await bucket.layer(at, `${at} cached`),
      await bucket.layer(at, `${at} cache config`, 'application/vnd.buildkit.cacheconfig.v0'),
    ]),

  'tags that are about an image': async (bucket, at) => {
    const image = await bucket.image(at, `${at} image`, [await bucket.layer(at, `${at} layer`)]);
    for (const suffix of ['.sig', '.att', '.sbom', ''])
      await bucket.tag(at, `sha256-${image.hex}${suffix}`, await bucket.image(at, `${at} ${suffix}`, []));
    return image;
  },

  'names of maximal length': async (bucket, at) => {
    const image = await bucket.image(at, `${at} image`, []);
    await bucket.history(at, 't'.repeat(128), image);
    return image;
  },
};

/** Of 255 characters. */
function longName(start: string): string {
  return `${start}/`.padEnd(127, 'long/').padEnd(255, 'name');
}

/** What is below a repository, and what has bytes of the names that it gave. */
async function contentIn(store: ObjectStore, bucket: FilledBucket, at: string): Promise<string[]> {
  const keys = await contentOf(store);
  return keys.filter((key) => {
    const [, , , folder = '', algorithm = '', , hex = ''] = key.split('/');
    const isOwn = folder === 'blobs' && bucket.nameOf(`${algorithm}:${hex}`).startsWith(`${at} `);
    return isOwn || key.startsWith(`docker/registry/v2/repositories/${at}/`);
  });
}

/** The name of the digest that a key ends with. */
function nameIn(bucket: FilledBucket, key: string): string {
  const hex = /([0-9a-f]{64,128})(?:\/(?:data|link))?$/.exec(key)?.[1] ?? '';
  return bucket.nameOf(`${hex.length === 64 ? 'sha256' : 'sha512'}:${hex}`);
}

onCollectedStores('a collection of each kind of manifest', (open) => {
  it('takes all of it, leaves all that a tag needs, and all that a rescued manifest needs', async () => {
    const store = await open();
    const buckets: [string, FilledBucket, Fill][] = [];
    for (const [what, fill] of Object.entries(kinds)) buckets.push([what, new FilledBucket(store), fill]);
    // Nothing can be about a manifest by a tag with SHA-512.
    for (const what of ['an index that names blobs', 'names of maximal length'])
      buckets.push([
        `${what}, with SHA-512`,
        new FilledBucket(store, 'sha512'),
        kinds[what] ?? assert.fail(),
      ]);
    const filled: { what: string; at: string; bucket: FilledBucket; before: string[]; root: Thing }[] = [];
    for (const [i, [what, bucket, fill]] of buckets.entries())
      for (const fate of ['tagged', 'rescued', 'gone']) {
        const at = what.startsWith('names') ? longName(`${fate}-${i}`) : `${fate}-${i}`;
        const root = await fill(bucket, at);
        const referrer = await bucket.image(at, `${at} referrer`, [], about(root));
        await bucket.referrer(at, root, referrer);
        if (fate === 'tagged') await bucket.tag(at, 'v1', root);
        filled.push({ what, at, bucket, before: await contentIn(store, bucket, at), root });
      }
    await pause(unitMs);
    const mark = await condemn(store);
    await lookAgain(store);
    for (const { at, root } of filled.filter(({ at }) => at.startsWith('rescued')))
      await store.put(rescueKey(mark, parseDigest(root.digest)), Buffer.from(at));
    await complete(store, mark);
    assert.deepEqual(await lacking(store), []);
    for (const { what, at, bucket, before } of filled) {
      const after = await contentIn(store, bucket, at);
      const [fate] = at.split('-');
      // A writer rescues what is about a manifest before that.
      const isReferrers = (key: string) => nameIn(bucket, key).startsWith(`${at} referrer`);
      const expected =
        fate === 'tagged' ? before : fate === 'gone' ? [] : before.filter((key) => !isReferrers(key));
      assert.deepEqual(after, expected, `${what}, ${fate}`);
      assert.equal(before.filter(isReferrers).length, 5, what);
    }
  });
});
