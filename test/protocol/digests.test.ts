import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestParts, parseDigest, digestFrom } from '../../lib/protocol/digests.ts';

const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const bad = {
  'nothing at all': '',
  'an algorithm alone': 'sha256',
  'no hexadecimal': 'sha256:',
  'hexadecimal alone': hex,
  'a path that climbs': 'sha256:../..',
  'a path that climbs, as long as a digest': `sha256:${'../'.repeat(21)}.`,
  'an escaped path': `sha256:${'%2e%2e%2f'.repeat(7)}a`,
  'upper-case hexadecimal': `sha256:${hex.toUpperCase()}`,
  'an upper-case algorithm': `SHA256:${hex}`,
  'a digit too few': `sha256:${hex.slice(1)}`,
  'a digit too many': `sha256:${hex}0`,
  'letters beyond f': `sha256:${'g'.repeat(64)}`,
  NUL: `sha256:${hex.slice(1)}\0`,
  'a line feed at the end': `sha256:${hex}\n`,
  'a line feed for a digit': `sha256:${hex.slice(1)}\n`,
  'a space before': ` sha256:${hex}`,
  'a third part': `sha256:${hex}:`,
  'digits that are not ASCII': `sha256:${'٣'.repeat(64)}`,
  'letters of full width': `sha256:${'ａ'.repeat(64)}`,
  'no algorithm': `:${hex}`,
  'a property of objects as algorithm': `constructor:${hex}`,
  '256 characters': `sha256:${'a'.repeat(249)}`,
  'what only begins well': `sha256:${hex}${'/'.repeat(300)}`,
};

describe('parseDigest', () => {
  it('takes SHA-256 in lower-case hexadecimal', () => {
    assert.equal(parseDigest(`sha256:${hex}`), `sha256:${hex}`);
  });

  for (const [what, text] of Object.entries(bad))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseDigest(text), { failure: 'DIGEST_INVALID', status: 400 });
    });

  for (const text of [
    `sha384:${'a'.repeat(96)}`,
    `md5:${'a'.repeat(32)}`,
    'multihash+base58:QmRZ',
    `blake3:${hex}`,
  ])
    it(`says of ${text.split(':', 1).join('')} that it is not supported, and what is`, () => {
      assert.throws(() => parseDigest(text), { failure: 'DIGEST_INVALID', message: /not supported.*sha256/ });
    });

  it('takes the digest of any content and gives its two halves', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        for (const algorithm of ['sha256', 'sha512'] as const) {
          const digits = createHash(algorithm).update(bytes).digest('hex');
          assert.equal(digestFrom(algorithm, digits), `${algorithm}:${digits}`);
          assert.equal(parseDigest(`${algorithm}:${digits}`), `${algorithm}:${digits}`);
          assert.deepEqual(digestParts(digestFrom(algorithm, digits)), { algorithm, hex: digits });
        }
      }),
    );
  });

  it('takes nothing but digests', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.throws(() => parseDigest(text), { failure: 'DIGEST_INVALID' });
        assert.throws(() => parseDigest(`sha256:${text}`), { failure: 'DIGEST_INVALID' });
      }),
    );
  });

  for (const unit of ['a', 'a+', 'a.', 'a:', 'a-_'])
    it(`parseDigest ends on megabytes of ${unit} and quotes 256 characters of them`, () => {
      assert.throws(
        () => parseDigest(`${unit.repeat(1_000_000)}!`),
        (error: unknown) => JSON.stringify(error).length < 1000,
      );
    });
});

describe('a digest of known digits', () => {
  it('digestFrom requires the number of digits of its algorithm, in lower case', () => {
    for (const digits of ['', '..', hex.slice(1), hex.toUpperCase(), `${hex}\n`, hex + hex])
      assert.throws(() => digestFrom('sha256', digits), { failure: 'DIGEST_INVALID' });
    for (const digits of ['', hex, hex + hex.slice(1), `${hex}${hex}0`])
      assert.throws(() => digestFrom('sha512', digits), { failure: 'DIGEST_INVALID' });
  });
});
