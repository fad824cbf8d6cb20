import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxManifestSize, parseManifest } from '../../lib/protocol/manifests.ts';
import {
  blob,
  bytesOf,
  digestOf,
  image,
  index,
  parse,
  refused,
  types,
  without,
} from './manifest-documents.ts';

describe('parseManifest', () => {
  const faults: readonly (readonly [string, unknown, RegExp])[] = [
    ['a list', [], /not a JSON object/],
    ['null', null, /not a JSON object/],
    ['a text', 'manifest', /not a JSON object/],
    ['a number', 2, /not a JSON object/],
    ['an empty object', {}, /schemaVersion/],
    ['schema 1', { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [] }, /schema 1/],
    ['schema 1 that says 2', image({ fsLayers: [] }), /schema 1/],
    ['schema 3', image({ schemaVersion: 3 }), /schemaVersion/],
    ['a schema version in text', image({ schemaVersion: '2' }), /schemaVersion/],
    ['no schema version', without(image(), 'schemaVersion'), /schemaVersion/],
    ['a type nobody knows', image({ mediaType: 'application/json' }), /"application\/json" is not supported/],
    [
      'the type of schema 1',
      image({ mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws' }),
      /is not supported/,
    ],
    ['a type that is a number', image({ mediaType: 7 }), /media ?type/i],
    ['a type that is a list of types', image({ mediaType: [types.ociImage] }), /media ?type/i],
    ['a type in capitals', image({ mediaType: types.ociImage.toUpperCase() }), /is not supported/],
    ['the name of a property of objects as type', image({ mediaType: 'constructor' }), /is not supported/],
    ['an image and index in one', { ...image(), ...index() }, /not both/],
    ['an index with layers', index({ layers: [] }), /not both/],
    ['an index with a config', index({ config: blob(1) }), /not both/],
    ['an image with manifests that are null', image({ manifests: null }), /not both/],
    ['both without a type', without({ ...index(), ...image() }, 'mediaType'), /not both/],
    ['an index that calls itself an image', index({ mediaType: types.ociImage }), /has config and layers/],
    ['an image that calls itself an index', image({ mediaType: types.dockerList }), /has manifests/],
    ['an image without config', without(image(), 'config'), /config must be a descriptor/],
    ['an image whose config is null', image({ config: null }), /config must be a descriptor/],
    ['an image of an empty config', image({ config: {} }), /config\.mediaType/],
    ['layers that are no list', image({ layers: { length: 1, 0: blob(2) } }), /layers must be a list/],
    ['manifests that are no list', index({ manifests: {} }), /manifests must be a list/],
    ['2001 layers', image({ layers: Array.from({ length: 2001 }, (_, i) => blob(i)) }), /2000 entries/],
    ['2001 children', index({ manifests: Array.from({ length: 2001 }, (_, i) => blob(i)) }), /2000 entries/],
    ['a layer that is null', image({ layers: [blob(2), null] }), /layers\[1\] must be a descriptor/],
    ['a layer that is a list', image({ layers: [[]] }), /layers\[0\] must be a descriptor/],
    ['a child that is a text', index({ manifests: [digestOf(4)] }), /manifests\[0\] must be a descriptor/],
    [
      'a layer without type',
      image({ layers: [blob(2, { mediaType: undefined })] }),
      /layers\[0\]\.mediaType/,
    ],
    ['a layer of an empty type', image({ layers: [blob(2, { mediaType: '' })] }), /layers\[0\]\.mediaType/],
    ['a config of no size', image({ config: blob(1, { size: undefined }) }), /config\.size/],
    ['a layer of negative size', image({ layers: [blob(2, { size: -1 })] }), /layers\[0\]\.size/],
    ['a layer of half a byte', image({ layers: [blob(2, { size: 0.5 })] }), /layers\[0\]\.size/],
    ['a layer of a size in text', image({ layers: [blob(2, { size: '2' })] }), /layers\[0\]\.size/],
    [
      'a layer of more bytes than numbers tell apart',
      image({ layers: [blob(2, { size: 2 ** 53 })] }),
      /layers\[0\]\.size/,
    ],
    [
      'a digest that climbs',
      image({ config: blob(1, { digest: 'sha256:../../../etc/passwd' }) }),
      /config\.digest/,
    ],
    [
      'a digest in capitals',
      image({ layers: [blob(2, { digest: `sha256:${'A'.repeat(64)}` })] }),
      /layers\[0\]\.digest/,
    ],
    [
      'a digest of another algorithm',
      index({ manifests: [blob(4, { digest: `sha384:${'a'.repeat(96)}` })] }),
      /manifests\[0\]\.digest/,
    ],
    ['a digest that is a number', image({ config: blob(1, { digest: 5 }) }), /config\.digest/],
    ['a digest that is a list', image({ config: blob(1, { digest: [digestOf(1)] }) }), /config\.digest/],
    ['no digest', image({ config: blob(1, { digest: undefined }) }), /config\.digest/],
    ['urls that are a text', image({ layers: [blob(2, { urls: 'https://a' })] }), /layers\[0\]\.urls/],
    ['urls that are numbers', image({ layers: [blob(2, { urls: [1] })] }), /layers\[0\]\.urls/],
    ['a subject that is a text', image({ subject: digestOf(9) }), /subject must be a descriptor/],
    ['a subject with a bad digest', index({ subject: blob(9, { digest: 'sha256:x' }) }), /subject\.digest/],
  ];
  for (const [what, document, message] of faults)
    it(`refuses ${what}`, () => {
      assert.throws(() => parse(document), { failure: 'MANIFEST_INVALID', status: 400, message });
    });

  for (const contentType of [
    types.ociIndex,
    types.dockerImage,
    'application/json',
    'text/plain; charset=utf-8',
    '*/*',
    'x'.repeat(100_000),
  ])
    it(`refuses an OCI image sent as ${contentType.slice(0, 60)}`, () => {
      assert.throws(
        () => parse(image(), contentType),
        (error: { failure?: string; message?: string }) =>
          error.failure === 'MANIFEST_INVALID' &&
          (error.message ?? '').includes('Content-Type') &&
          (error.message?.length ?? 0) < 1000,
      );
    });

  it('refuses an index without type that is sent as an image, and the other way round (CVE-2021-41190)', () => {
    for (const [document, contentType] of [
      [without(index(), 'mediaType'), types.ociImage],
      [without(image(), 'mediaType'), types.ociIndex],
      [without(image(), 'mediaType'), types.dockerImage],
    ] as const)
      assert.throws(() => parse(document, contentType), {
        failure: 'MANIFEST_INVALID',
        message: /Content-Type/,
      });
  });

  for (const [what, bytes] of Object.entries({
    'no bytes': Buffer.alloc(0),
    'no JSON': Buffer.from('FROM scratch'),
    'JSON cut short': bytesOf(image()).subarray(0, -1),
    'two documents': Buffer.from('{}{}'),
    'bytes that are not UTF-8': Buffer.from(`{"schemaVersion":2,"a":"\xff\xfe"}`, 'latin1'),
    'half a character of UTF-8': Buffer.from('{"a":"\xc3"}', 'latin1'),
    'a character in too many bytes': Buffer.from('{"a":"\xc0\xaf"}', 'latin1'),
    'UTF-16': Buffer.from(JSON.stringify(image()), 'utf16le'),
    NUL: Buffer.from('{"schemaVersion":2,"a":"\0"}'),
    gzip: Buffer.from('1f8b0800000000000003abae05004343bf6b02000000', 'hex'),
  }))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseManifest(bytes, undefined), {
        failure: 'MANIFEST_INVALID',
        message: /not JSON in UTF-8/,
      });
    });

  for (const [what, text] of Object.entries({
    'two lists of layers': JSON.stringify(image()).replace('"layers":', '"layers":[],"layers":'),
    'two digests of a layer': JSON.stringify(image()).replace(
      `"digest":"${digestOf(2)}"`,
      `"digest":"${digestOf(9)}","digest":"${digestOf(2)}"`,
    ),
    'a digest in escapes beside another': JSON.stringify(image()).replace(
      `"digest":"${digestOf(2)}"`,
      `"digest":"${digestOf(9)}","d\\u0069gest":"${digestOf(2)}"`,
    ),
    'a field twice that it does not know': JSON.stringify(image({ a: 1 })).replace('"a":1', '"a":1,"a":2'),
    'a Digest beside the digest': JSON.stringify(image({ config: blob(1, { Digest: digestOf(9) }) })),
    'Urls, which would make a layer one that others keep': JSON.stringify(
      image({ layers: [blob(2, { Urls: ['https://example.com'] })] }),
    ),
    'two halves of characters, of which Go makes one': '{"schemaVersion":2,"x":{"\\ud800":1,"\\udc01":1}}',
    'a ſubject': JSON.stringify(image({ ſubject: blob(9) })),
  }))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseManifest(Buffer.from(text), undefined), { failure: 'MANIFEST_INVALID' });
    });

  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const) {
    const depth = 100_000;
    const nested = `${open.repeat(depth)}0${close.repeat(depth)}`;

    it(`refuses 100,000 nested ${open}, closed and not`, () => {
      for (const text of [nested, open.repeat(depth)])
        assert.throws(() => parseManifest(Buffer.from(text), undefined), { failure: 'MANIFEST_INVALID' });
    });

    for (const field of ['schemaVersion', 'mediaType', 'config', 'layers', 'manifests', 'subject'])
      it(`refuses 100,000 nested ${open} as ${field}, without an overflow of the stack`, () => {
        const text = JSON.stringify(image({ [field]: 'HERE' })).replace('"HERE"', nested);
        assert.throws(() => parseManifest(Buffer.from(text), undefined), { failure: 'MANIFEST_INVALID' });
      });

    it(`refuses 100,000 nested ${open} in an unknown field`, () => {
      const text = JSON.stringify(image({ extra: 'HERE' })).replace('"HERE"', nested);
      refused(() => parseManifest(Buffer.from(text), undefined), /nested 100 deep/);
    });
  }

  it('refuses more than 4 MiB with 413 before it reads them', () => {
    const bytes = Buffer.alloc(maxManifestSize + 1, 0xff);
    assert.throws(() => parseManifest(bytes, undefined), { failure: 'MANIFEST_TOO_LARGE', status: 413 });
  });

  it('answers any JSON with a manifest or MANIFEST_INVALID', () => {
    const descriptor = fc.record(
      {
        mediaType: fc.jsonValue(),
        digest: fc.oneof(fc.constant(digestOf(1)), fc.jsonValue()),
        size: fc.jsonValue(),
        urls: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const field = fc.oneof(descriptor, fc.array(descriptor), fc.jsonValue());
    const document = fc.record(
      {
        schemaVersion: fc.constantFrom(2, 2, 2, 1, null),
        mediaType: fc.constantFrom(...Object.values(types), undefined, 'x'),
        config: field,
        layers: field,
        manifests: field,
        subject: field,
      },
      { requiredKeys: ['schemaVersion'] },
    );
    fc.assert(
      fc.property(fc.oneof(document, fc.jsonValue()), (value) => {
        try {
          const { blobs, manifests } = parse(value);
          const children = manifests.map((child) => child.digest);
          for (const digest of [...blobs, ...children]) assert.match(digest, /^sha256:[0-9a-f]{64}$/);
        } catch (error) {
          assert.equal((error as { failure?: unknown }).failure, 'MANIFEST_INVALID', String(error));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
