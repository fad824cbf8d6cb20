import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { digestFrom, parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import {
  readIndexed,
  readReferrer,
  referrersMediaType,
  referrersTag,
  type Referrer,
} from '../../lib/protocol/referrers.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';
const configType = 'application/vnd.example.config.v1+json';
const artifactType = 'application/vnd.example.sbom.v1';

const own = digestFrom('sha256', '1'.repeat(64));
const about = digestFrom('sha256', '5'.repeat(64));

type Fields = Readonly<Record<string, unknown>>;

const descriptor = (digest: unknown, more: Fields = {}): Fields => ({
  mediaType: 'application/octet-stream',
  digest,
  size: 2,
  ...more,
});

const image = (more: Fields = {}): Fields => ({
  schemaVersion: 2,
  mediaType: imageType,
  config: descriptor(digestFrom('sha256', '2'.repeat(64)), { mediaType: configType }),
  layers: [],
  subject: descriptor(about, { mediaType: imageType }),
  ...more,
});

const index = (more: Fields = {}): Fields => ({
  schemaVersion: 2,
  mediaType: indexType,
  manifests: [],
  subject: descriptor(about, { mediaType: imageType }),
  ...more,
});

const bytesOf = (document: unknown): Buffer => Buffer.from(JSON.stringify(document, undefined, 2));

const read = (document: unknown): Referrer | undefined => readReferrer(bytesOf(document), own);

/** Of what has no more to say of itself than this. */
function expected(document: Fields, more: Partial<Referrer['descriptor']> = {}): Referrer {
  const size = bytesOf(document).length;
  return { subject: about, descriptor: { mediaType: imageType, size, digest: own, ...more } };
}

describe('readReferrer', () => {
  it('readReferrer returns the type, size, digest, artifact type and annotations of an image', () => {
    const annotations = { 'org.example.created': '2026-01-01', empty: '' };
    const document = image({ artifactType, annotations });
    assert.deepEqual(read(document), expected(document, { artifactType, annotations }));
  });

  it('readReferrer returns the same of an index', () => {
    const annotations = { a: 'b' };
    const document = index({ artifactType, annotations });
    assert.deepEqual(read(document), expected(document, { mediaType: indexType, artifactType, annotations }));
  });

  for (const [what, none] of Object.entries({ missing: undefined, empty: '', 'a number': 7, null: null })) {
    it(`takes the type of an image's config where its artifactType is ${what}`, () => {
      const document = image({ artifactType: none });
      assert.deepEqual(read(document), expected(document, { artifactType: configType }));
    });

    it(`readReferrer returns no artifact type of an index whose own is ${what}`, () => {
      const document = index({ artifactType: none });
      assert.deepEqual(read(document), expected(document, { mediaType: indexType }));
    });
  }

  it('finds a subject whose name is written with escapes, as parsers read it', () => {
    const text = JSON.stringify(index()).replace('"subject"', String.raw`"\u0073ubject"`);
    assert.equal(readReferrer(Buffer.from(text), own)?.subject, about);
  });

  it('readReferrer returns no artifact type if the config has none', () => {
    for (const config of [undefined, null, 'x', [], {}, descriptor(own, { mediaType: '' })]) {
      const document = image({ config });
      assert.deepEqual(read(document), expected(document));
    }
  });

  it('readReferrer detects a missing type by other fields', () => {
    assert.equal(read(image({ mediaType: undefined }))?.descriptor.mediaType, imageType);
    assert.equal(read(index({ mediaType: undefined }))?.descriptor.mediaType, indexType);
  });

  for (const [what, annotations] of Object.entries({
    none: undefined,
    'an empty object': {},
    null: null,
    'a list': ['a', 'b'],
    'a text': 'text',
    'an object of other than texts': { a: 1, b: null, c: ['d'], e: { f: 'g' } },
  }))
    it(`leaves out annotations that are ${what}`, () => {
      const document = image({ annotations });
      assert.deepEqual(read(document), expected(document, { artifactType: configType }));
    });

  it('readReferrer returns at most 10,000 annotations and reads on', () => {
    const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`a${i}`, '']));
    const found = read(index({ annotations: many, artifactType }))?.descriptor;
    assert.equal(Object.keys(found?.annotations ?? {}).length, 10_000);
    assert.equal(found?.artifactType, artifactType);
  });

  it('readReferrer keeps annotations that are texts', () => {
    const text = JSON.stringify(image()).replace(
      '"layers":',
      '"annotations":{"__proto__":"p","constructor":"c","n":1},"layers":',
    );
    const annotations = readReferrer(Buffer.from(text), own)?.descriptor.annotations ?? {};
    assert.deepEqual(Object.entries(annotations), [
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ]);
  });

  for (const [what, subject] of Object.entries({
    missing: undefined,
    null: null,
    'a digest and no descriptor': about,
    // What in-toto calls so: attestations are layers of JSON.
    'a list of descriptors': [descriptor(about)],
    'without a digest': descriptor(undefined),
    'with a digest that is a number': descriptor(5),
    'with a digest that is a list': descriptor([about]),
    'with an empty digest': descriptor(''),
    'with a digest that is too short': descriptor(about.slice(0, -1)),
    'with a digest in capitals': descriptor(`sha256:${'A'.repeat(64)}`),
    'with a digest of another algorithm': descriptor(`sha384:${'a'.repeat(96)}`),
    'with a digest that climbs': descriptor('sha256:../../../etc/passwd'),
  }))
    it(`readReferrer finds no subject if it is ${what}`, () => {
      assert.equal(read(image({ subject })), undefined);
    });

  it('readReferrer finds no subject in other fields', () => {
    const config = descriptor(own, { subject: descriptor(about) });
    assert.equal(read(image({ subject: undefined, annotations: { subject: about } })), undefined);
    assert.equal(read(image({ subject: undefined, config })), undefined);
  });

  it('reads a subject by SHA-512, and one that says nothing but its digest', () => {
    const sha512 = digestFrom('sha512', '5'.repeat(128));
    assert.equal(read(image({ subject: descriptor(sha512) }))?.subject, sha512);
    assert.equal(read(index({ subject: { digest: about } }))?.subject, about);
  });

  const whole = bytesOf(image());
  const attestation = { _type: 'https://in-toto.io/Statement/v1', subject: [{ digest: { sha256: 'a' } }] };
  for (const [what, bytes] of Object.entries({
    'no bytes': Buffer.alloc(0),
    'a text': Buffer.from('a "subject" of talk'),
    'a manifest cut short': whole.subarray(0, -1),
    'two manifests': Buffer.concat([whole, whole]),
    'a manifest in a list': bytesOf([image()]),
    'a manifest in UTF-16': Buffer.from(JSON.stringify(image()), 'utf16le'),
    'a manifest that is not UTF-8': Buffer.concat([
      whole.subarray(0, -1),
      Buffer.from(',"\xff":1}', 'latin1'),
    ]),
    'a manifest whose type is no type': bytesOf(image({ mediaType: 'image\r\nX-Evil: 1' })),
    'a manifest whose type is a number': bytesOf(image({ mediaType: 5 })),
    'schema 1': bytesOf({
      schemaVersion: 1,
      name: 'a',
      fsLayers: [],
      history: [{ v1Compatibility: JSON.stringify(image()) }],
    }),
    'a layer': Buffer.concat([gzipSync(randomBytes(1000)), Buffer.from('"subject"'), randomBytes(1000)]),
    'a layer of JSON': bytesOf(attestation),
    'a hundred thousand lists in each other': Buffer.from(
      `{"subject":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    ),
    'a hundred thousand subjects in each other': Buffer.from('{"subject":'.repeat(100_000)),
  }))
    it(`readReferrer finds no subject in ${what}`, () => {
      assert.equal(readReferrer(bytes, own), undefined);
    });

  it('readReferrer reads only the given view', () => {
    const around = Buffer.concat([whole, Buffer.from('{}'), whole]);
    assert.equal(readReferrer(around.subarray(whole.length, whole.length + 2), own), undefined);
    const within = Buffer.concat([Buffer.from('xx'), whole, Buffer.from('xx')]).subarray(2, -2);
    assert.deepEqual(readReferrer(within, own), readReferrer(whole, own));
  });

  it('answers any JSON with a whole descriptor or none', () => {
    const odd = fc.oneof(fc.jsonValue(), fc.constant(descriptor(about)), fc.constant({ a: 'b' }));
    const some = fc.record(
      {
        mediaType: fc.oneof(fc.constantFrom(imageType, indexType), fc.jsonValue()),
        artifactType: odd,
        config: odd,
        manifests: odd,
        annotations: odd,
        subject: odd,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(some, fc.jsonValue()), (document) => {
        const found = read(document);
        if (found === undefined) return;
        const { mediaType, size, digest, ...rest } = found.descriptor;
        assert.equal(found.subject, about);
        assert.match(mediaType, /^[\w.+-]+\/[\w.+-]+$/);
        assert.deepEqual([size, digest], [bytesOf(document).length, own]);
        assert.notEqual(rest.artifactType, '');
        for (const text of [...Object.values(rest.annotations ?? { a: '' }), rest.artifactType ?? ''])
          assert.equal(typeof text, 'string');
      }),
      { numRuns: 1000 },
    );
  });
});

describe('readIndexed', () => {
  const digests = ['1', '2', '3'].map((digit) => digestFrom('sha256', digit.repeat(64)));

  it('readIndexed returns the digests of an index in order', () => {
    const manifests = digests.map((digest) => descriptor(digest));
    const bytes = bytesOf({ schemaVersion: 2, mediaType: referrersMediaType, manifests });
    assert.deepEqual(readIndexed(bytes), digests);
  });

  it('readIndexed skips invalid entries', () => {
    const [first, , last] = digests;
    const odd = [
      null,
      1,
      'x',
      [],
      {},
      descriptor('sha256:x'),
      descriptor(5),
      descriptor(about.toUpperCase()),
    ];
    const manifests = [descriptor(first), ...odd, first, { digest: last }];
    assert.deepEqual(readIndexed(bytesOf({ manifests })), [first, last]);
  });

  for (const [what, bytes] of Object.entries({
    'an image': bytesOf(image()),
    'an index whose manifests are no list': bytesOf({ manifests: { 0: descriptor(own), length: 1 } }),
    'a list': bytesOf([descriptor(own)]),
    null: bytesOf(null),
    'no JSON': Buffer.from('FROM scratch'),
    'no bytes': Buffer.alloc(0),
    'no UTF-8': Buffer.from('{"manifests":["\xff"]}', 'latin1'),
  }))
    it(`readIndexed finds no digests in ${what}`, () => {
      assert.deepEqual(readIndexed(bytes), []);
    });
});

describe('referrersTag', () => {
  // The table of the spec ("Referrers Tag Schema"), without the unsupported algorithm.
  for (const [digest, tag] of [
    [
      'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
      'sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    ],
    [
      'sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
      'sha512-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    ],
  ] as const)
    it(`referrersTag of ${digest.slice(0, 12)}… is ${tag}`, () => {
      assert.equal(referrersTag(parseDigest(digest)), tag);
    });

  it('referrersTag truncates a long digest at its end', () => {
    const digest: Digest = digestFrom('sha512', `${'0123'.repeat(16)}${'f'.repeat(64)}`);
    assert.equal(referrersTag(digest), `sha512-${'0123'.repeat(16)}`);
  });
});
