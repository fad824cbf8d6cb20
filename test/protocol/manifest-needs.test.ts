import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { readNeeds } from '../../lib/protocol/manifest-needs.ts';

const digest = (digit: string) => digestFrom('sha256', digit.repeat(64));
const needs = (manifest: unknown) => readNeeds(Buffer.from(JSON.stringify(manifest)));
const blob = (digit: string, size?: number) => ({ digest: digest(digit), size });
const shown = (named: readonly { digest: string; size: number | undefined }[]) =>
  named.map(({ digest, size }) => ({ digest, size }));

describe('what a manifest needs', () => {
  it('needs of an image its config and layers, of which foreign ones may be elsewhere', () => {
    const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    const { mediaType, blobs, children, subject } = needs({
      schemaVersion: 2,
      config: { mediaType: 'a/b', digest: digest('1'), size: 1 },
      layers: [
        { mediaType: 'a/b', digest: digest('2'), size: 2 },
        { mediaType: foreign, digest: digest('3'), size: 3, urls: ['https://example.com/3'] },
        { mediaType: foreign, digest: digest('4'), size: 4 },
      ],
      subject: { mediaType: 'a/b', digest: digest('5'), size: 5 },
    });
    assert.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json');
    assert.deepEqual(shown(blobs), [blob('1', 1), blob('2', 2), blob('3', 3), blob('4', 4)]);
    assert.deepEqual(
      blobs.map(({ isElsewhere }) => isElsewhere),
      [false, false, true, false],
    );
    assert.deepEqual([children, subject], [[], digest('5')]);
  });

  it('needs of an index its children, some of which are blobs', () => {
    const image = 'application/vnd.oci.image.manifest.v1+json';
    const platform = { os: 'linux', architecture: 'arm64' };
    const { children, blobs } = needs({
      manifests: [
        { mediaType: image, digest: digest('1'), size: 1, platform },
        { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digest('2'), size: 2 },
      ],
    });
    assert.deepEqual(blobs, []);
    assert.deepEqual(children, [
      { ...blob('1', 1), isElsewhere: false, isManifest: true, platform },
      { ...blob('2', 2), isElsewhere: false, isManifest: false, platform: undefined },
    ]);
  });

  it('needs of schema 1 the layers, and of an artifact manifest the blobs', () => {
    const first = needs({ schemaVersion: 1, fsLayers: [{ blobSum: digest('1') }, { blobSum: digest('2') }] });
    assert.deepEqual(shown(first.blobs), [blob('1'), blob('2')]);
    const artifact = needs({
      mediaType: 'application/vnd.oci.artifact.manifest.v1+json',
      blobs: [{ mediaType: 'a/b', digest: digest('3'), size: 3 }],
    });
    assert.deepEqual(shown(artifact.blobs), [blob('3', 3)]);
  });

  it('finds all that any reader may find: other spellings, and each of a repeated field', () => {
    const text = `{"Config":{"Digest":"${digest('1')}"},"LAYERS":[{"digest":"${digest('2')}"}],
      "layers":[{"digest":"${digest('3')}"}],"layers":[{"digest":"${digest('4')}"}],
      "manife\u017fts":[{"digest":"${digest('5')}"}]}`;
    const { blobs, children } = readNeeds(Buffer.from(text));
    assert.deepEqual(
      [...blobs, ...children].map((one) => one.digest),
      ['1', '2', '3', '4', '5'].map(digest),
    );
  });

  it('leaves out what has no valid digest', () => {
    assert.deepEqual(
      needs({ config: { digest: 'sha256:1' }, layers: [null, 7, {}], manifests: {} }).blobs,
      [],
    );
  });

  for (const bytes of ['', 'null', '[]', '{"layers":', '{"mediaType":"no type"}'])
    it(`cannot read ${JSON.stringify(bytes)} as a manifest`, () => {
      assert.throws(() => readNeeds(Buffer.from(bytes)), { failure: 'UNKNOWN' });
    });
});
