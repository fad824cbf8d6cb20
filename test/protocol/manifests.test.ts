import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  defaultChild,
  maxManifestSize,
  parseManifest,
  storedMediaType,
} from '../../lib/protocol/manifests.ts';
import {
  blob,
  bytesOf,
  digestOf,
  image,
  index,
  nonDistributable,
  parse,
  refused,
  types,
  without,
  type Json,
} from './manifest-documents.ts';

describe('parseManifest', () => {
  for (const mediaType of [types.dockerImage, types.ociImage])
    it(`reads an image of type ${mediaType}: its config and layers are the blobs`, () => {
      assert.deepEqual(parse(image({ mediaType }), mediaType), {
        mediaType,
        blobs: [digestOf(1), digestOf(2), digestOf(3)],
        manifests: [],
        subject: undefined,
        reference: undefined,
      });
    });

  for (const mediaType of [types.dockerList, types.ociIndex])
    it(`reads an index of type ${mediaType}: its children are the manifests`, () => {
      assert.deepEqual(parse(index({ mediaType }), mediaType), {
        mediaType,
        blobs: [],
        manifests: [
          { digest: digestOf(4), isManifest: false, platform: { os: 'linux', architecture: 'arm64' } },
          { digest: digestOf(5), isManifest: false, platform: undefined },
        ],
        subject: undefined,
        reference: undefined,
      });
    });

  it('detects the type of OCI manifests without a type by their fields', () => {
    assert.equal(parse(without(image(), 'mediaType')).mediaType, types.ociImage);
    assert.equal(parse(without(index(), 'mediaType')).mediaType, types.ociIndex);
    assert.equal(parse(without(image(), 'mediaType'), types.ociImage).mediaType, types.ociImage);
  });

  for (const contentType of [
    undefined,
    '',
    ' ',
    types.ociImage,
    `${types.ociImage}; charset=utf-8`,
    ` ${types.ociImage.toUpperCase()} `,
  ])
    it(`takes ${contentType === undefined ? 'no header' : JSON.stringify(contentType)} as Content-Type`, () => {
      assert.equal(parse(image(), contentType).mediaType, types.ociImage);
    });

  it('lists each blob once, and children in order', () => {
    assert.deepEqual(
      parse(image({ config: blob(7), layers: [blob(9), blob(7), blob(8), blob(9)] })).blobs,
      [7, 9, 8].map(digestOf),
    );
    assert.deepEqual(
      parse(index({ manifests: [blob(5), blob(4), blob(5)] })).manifests.map(({ digest }) => digest),
      [5, 4, 5].map(digestOf),
    );
  });

  it('parseManifest does not require foreign layers', () => {
    const foreign = blob(2, {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      urls: ['http://169.254.169.254/latest/meta-data', 'https://example.com/layer'],
    });
    assert.deepEqual(parse(image({ layers: [foreign, blob(3)] })).blobs, [digestOf(1), digestOf(3)]);
  });

  it('requires layers whose urls are empty or null, and every config', () => {
    const layers = [blob(2, { urls: [] }), blob(3, { urls: null })];
    const config = blob(1, { urls: ['https://example.com'] });
    assert.deepEqual(parse(image({ config, layers })).blobs, [1, 2, 3].map(digestOf));
  });

  it('requires a layer that is listed with and without urls', () => {
    const elsewhere = blob(2, { mediaType: nonDistributable, urls: ['https://a'] });
    assert.deepEqual(parse(image({ layers: [elsewhere, blob(2)] })).blobs, [1, 2].map(digestOf));
  });

  it('requires layers of ordinary types and those with unusable urls', () => {
    const layers = [
      blob(2, { urls: ['https://example.com/layer'] }),
      blob(3, { mediaType: nonDistributable, urls: [''] }),
      blob(4, { mediaType: nonDistributable, urls: ['javascript:x', '/layer', 'file:///etc/passwd'] }),
    ];
    assert.deepEqual(parse(image({ layers })).blobs, [1, 2, 3, 4].map(digestOf));
  });

  for (const [what, more] of Object.entries({
    'a platform twice': { platform: { os: 'linux' }, Platform: { os: 'windows' } },
    'an os twice': { platform: { os: 'linux', OS: 'windows' } },
    'an os.version twice': { platform: { 'os.version': '1', 'OS.Version': '2' } },
    'annotations twice': { annotations: {}, Annotations: {} },
    'data twice': { data: 'YQ==', Data: 'Yg==' },
    'an artifactType twice': { artifactType: 'a/b', ArtifactType: 'c/d' },
  }))
    it(`refuses ${what} in a descriptor, in letters of another case`, () => {
      refused(() => parse(index({ manifests: [blob(2, more)] })), /only by case/);
    });

  for (const more of [
    { artifactType: 'a/b', ArtifactType: 'c/d' },
    { annotations: {}, ANNOTATIONS: {} },
  ])
    it(`refuses ${Object.keys(more).join(' and ')} in a manifest`, () => {
      refused(() => parse(image(more)), /only by case/);
    });

  it('refuses whole numbers that are not written as such', () => {
    const parseText = (text: string) => parseManifest(Buffer.from(text), undefined);
    const text = JSON.stringify(image());
    for (const number of ['5.0', '5e0', '0.5e1'])
      refused(() => parseText(text.replace(/"size":\d+/, `"size":${number}`)), /size must be/);
    refused(
      () => parseText(text.replace('"schemaVersion":2', '"schemaVersion":2.0')),
      /schemaVersion must be 2/,
    );
  });

  it('accepts values nested 100 deep and refuses deeper ones', () => {
    const nested = (depth: number) => JSON.parse('{"a":'.repeat(depth) + '1' + '}'.repeat(depth)) as object;
    parse(image({ x: nested(99) }));
    refused(() => parse(image({ x: nested(100) })), /nested 100 deep/);
    // What stands in a text is not nested.
    parse(image({ annotations: { x: '{['.repeat(500), y: '\\"{['.repeat(500) } }));
  });

  it('returns the subject of an image and of an index, and requires neither', () => {
    for (const document of [image({ subject: blob(9) }), index({ subject: blob(9) })]) {
      const { subject, blobs, manifests } = parse(document);
      assert.equal(subject, digestOf(9));
      assert.equal([...blobs, ...manifests].includes(subject), false);
    }
    assert.equal(parse(image({ subject: null })).subject, undefined);
  });

  it('takes an image without layers and an index without children', () => {
    assert.deepEqual(parse(image({ layers: [] })).blobs, [digestOf(1)]);
    assert.deepEqual(parse(index({ manifests: [] })).manifests, []);
  });

  for (const [what, image_] of Object.entries({
    absent: without(image(), 'layers'),
    null: image({ layers: null }),
    empty: image({ layers: [] }),
  }))
    it(`takes an image whose layers are ${what}, as Go reads them`, () => {
      assert.deepEqual(parse(image_).blobs, [digestOf(1)]);
    });

  for (const [what, index_] of Object.entries({
    absent: without(index(), 'manifests'),
    null: index({ manifests: null }),
    'null, and its type as well': index({ manifests: null, mediaType: null }),
    'null, and it has no type': without(index({ manifests: null }), 'mediaType'),
  }))
    it(`takes an index whose manifests are ${what}, as Go reads them`, () => {
      const { mediaType, manifests } = parse(index_);
      assert.deepEqual([mediaType, manifests], [types.ociIndex, []]);
      assert.equal(storedMediaType(bytesOf(index_)), types.ociIndex);
    });

  for (const nothing of [null, ''])
    it(`detects the type of an image whose type is ${JSON.stringify(nothing)} by its fields`, () => {
      assert.equal(parse(image({ mediaType: nothing }), types.ociImage).mediaType, types.ociImage);
      assert.equal(storedMediaType(bytesOf(image({ mediaType: nothing }))), types.ociImage);
    });

  it('accepts null for each optional map, list and text', () => {
    const none = { urls: null, annotations: null, data: null, platform: null, artifactType: null };
    const platform = { os: null, architecture: null, 'os.version': null, 'os.features': null, variant: null };
    const nulls = { annotations: null, artifactType: null, subject: null };
    const { blobs } = parse(image({ ...nulls, config: blob(1, none), layers: [blob(2, none)] }));
    assert.deepEqual(blobs, [1, 2].map(digestOf));
    const { manifests } = parse(index({ ...nulls, manifests: [blob(4, { platform })] }));
    assert.deepEqual(manifests[0]?.platform, { os: '', architecture: '' });
    parse(image({ annotations: { a: null }, layers: [blob(2, { annotations: { a: null }, urls: [null] })] }));
  });

  it("returns the referrer's descriptor of a manifest with a subject", () => {
    const subject = blob(9);
    assert.deepEqual(
      parse(image({ subject, artifactType: 'a/b', annotations: { x: 'y', z: null } })).reference,
      {
        artifactType: 'a/b',
        annotations: { x: 'y' },
      },
    );
    assert.deepEqual(parse(image({ subject })).reference, { artifactType: 'application/octet-stream' });
    assert.deepEqual(parse(index({ subject, annotations: {} })).reference, {});
    assert.equal(parse(image({ artifactType: 'a/b' })).reference, undefined);
  });

  const mistyped: readonly (readonly [string, Json])[] = [
    ['annotations', { annotations: { build: 7 } }],
    ['annotations', { annotations: { build: ['7'] } }],
    ['annotations', { annotations: [] }],
    ['annotations', { annotations: 'a=b' }],
    ['annotations', { annotations: false }],
    ['artifactType', { artifactType: 7 }],
    ['artifactType', { artifactType: ['a/b'] }],
    ['artifactType', { artifactType: {} }],
  ];
  const mistypedDescriptors: readonly (readonly [string, Json])[] = [
    ...mistyped,
    ['data', { data: 7 }],
    ['data', { data: [1, 2] }],
    ['data', { data: 'no Base64' }],
    ['data', { data: 'YQ' }],
    ['data', { data: 'YQ==YQ==' }],
    ['data', { data: 'Y_-=' }],
    ['urls', { urls: {} }],
    ['urls[0]', { urls: [{}] }],
    ['platform', { platform: 7 }],
    ['platform', { platform: 'linux/amd64' }],
    ['platform', { platform: [] }],
    ['platform.os', { platform: { os: ['linux'] } }],
    ['platform.architecture', { platform: { architecture: 64 } }],
    ['platform.os.version', { platform: { 'os.version': 10 } }],
    ['platform.os.features', { platform: { 'os.features': 'win32k' } }],
    ['platform.os.features[1]', { platform: { 'os.features': ['win32k', 1] } }],
    ['platform.variant', { platform: { variant: 8 } }],
    ['platform.features', { platform: { features: { sse4: true } } }],
  ];

  for (const [field, more] of mistyped)
    for (const [what, make] of Object.entries({ image, index }))
      it(`refuses an ${what} with ${JSON.stringify(more)}, which Go cannot read`, () => {
        refused(() => parse(make(more)), new RegExp(`^${field} must be `));
      });

  for (const [field, more] of mistypedDescriptors)
    it(`refuses a descriptor with ${JSON.stringify(more)}, wherever it stands`, () => {
      for (const [where, document] of Object.entries({
        config: image({ config: blob(1, more) }),
        'layers[0]': image({ layers: [blob(2, more)] }),
        'manifests[1]': index({ manifests: [blob(4), blob(5, more)] }),
        subject: image({ subject: blob(9, more) }),
      }))
        refused(
          () => parse(document),
          new RegExp(`^${`${where}.${field}`.replaceAll(/[[\].]/g, '\\$&')} must be `),
        );
    });

  it('takes data in Base64, also with line ends', () => {
    for (const data of ['', 'YQ==', 'YWI=', 'YWJj', 'YW\r\nJj\n', 'YR=='])
      parse(image({ config: blob(1, { data }) }));
  });

  it('takes 2000 entries, each with its platform and 20 annotations, and no more than 100,000 values', () => {
    const notes = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`org.example.note-${i}`, 'a note']),
    );
    const platform = {
      os: 'windows',
      architecture: 'amd64',
      'os.version': '10.0',
      'os.features': ['win32k'],
    };
    const entries = Array.from({ length: 2000 }, (_, i) => blob(i, { platform, annotations: notes }));
    assert.equal(parse(index({ manifests: entries })).manifests.length, 2000);
    const values = (count: number) => image({ layers: [], x: Array.from({ length: count }, () => 0) });
    // All others: the manifest, its version and type, the config and its three, and the two lists.
    parse(values(100_000 - 9));
    refused(() => parse(values(100_001 - 9)), /may have 100000 values at most/);
  });

  it('takes an artifact, with fields it does not know', () => {
    const artifact = image({
      artifactType: 'application/vnd.example',
      annotations: { a: 'b' },
      extra: [{}],
      __proto__x: 1,
    });
    assert.equal(parse(artifact).mediaType, types.ociImage);
  });

  it('takes 2000 layers, and a manifest of exactly 4 MiB', () => {
    const layers = Array.from({ length: 2000 }, (_, i) => blob(i + 2));
    assert.equal(parse(image({ layers })).blobs.length, 2001);
    const text = JSON.stringify(image());
    assert.equal(
      parseManifest(Buffer.from(text.padEnd(maxManifestSize)), undefined).mediaType,
      types.ociImage,
    );
  });
});

describe('storedMediaType', () => {
  for (const [what, document, mediaType] of [
    ['what a manifest calls itself', image({ mediaType: types.dockerImage }), types.dockerImage],
    [
      'a type that is not taken any more',
      { schemaVersion: 1, mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    ],
    [
      'schema 1, which does not say its type',
      { schemaVersion: 1, name: 'a', fsLayers: [] },
      'application/vnd.docker.distribution.manifest.v1+json',
    ],
    ['an OCI image that does not say its type', without(image(), 'mediaType'), types.ociImage],
    ['an OCI index that does not say its type', without(index(), 'mediaType'), types.ociIndex],
  ] as const)
    it(`storedMediaType is ${what}`, () => {
      assert.equal(storedMediaType(bytesOf(document)), mediaType);
    });

  it('storedMediaType agrees with parseManifest', () => {
    for (const document of [
      image(),
      index(),
      without(image(), 'mediaType'),
      without(index(), 'mediaType'),
      image({ mediaType: types.dockerImage }),
      index({ mediaType: types.dockerList }),
    ])
      assert.equal(storedMediaType(bytesOf(document)), parse(document).mediaType);
  });

  it('storedMediaType reports damaged bytes as damaged, not as missing', () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('{'),
      Buffer.from('[]'),
      Buffer.from('"\xff"', 'latin1'),
    ])
      assert.throws(() => storedMediaType(bytes), { failure: 'UNKNOWN', status: 500 });
  });
});

describe('defaultChild', () => {
  const child = (number: number, platform: unknown) => blob(number, { platform });
  const linux = { os: 'linux', architecture: 'amd64' };

  it('defaultChild is the first entry for linux/amd64', () => {
    const manifests = [
      null,
      7,
      child(1, 'linux/amd64'),
      child(2, { os: 'linux' }),
      child(3, linux),
      child(4, linux),
    ];
    assert.equal(defaultChild(bytesOf({ manifests })), digestOf(3));
  });

  it('defaultChild is undefined without such an entry or its digest', () => {
    for (const document of [
      image(),
      index({ manifests: null }),
      index({ manifests: {} }),
      index({ manifests: [{ platform: linux }] }),
      index({ manifests: [{ platform: linux, digest: 'sha256:x' }, child(4, linux)] }),
    ])
      assert.equal(defaultChild(bytesOf(document)), undefined);
  });
});
