import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseReference } from '../../lib/protocol/references.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('parseReference', () => {
  it('reads what has a colon as a digest', () => {
    assert.deepEqual(parseReference(digest), { kind: 'digest', digest });
  });

  it('reads anything else as a tag, also what looks like half a digest', () => {
    for (const tag of ['latest', 'sha256', digest.slice(7), `sha256-${digest.slice(7)}`, 'V1_x.0-'])
      assert.deepEqual(parseReference(tag), { kind: 'tag', tag });
  });

  for (const [text, failure] of [
    ['', 'TAG_INVALID'],
    ['..', 'TAG_INVALID'],
    ['%2e%2e', 'TAG_INVALID'],
    ['a%2Fb', 'TAG_INVALID'],
    ['a/b', 'TAG_INVALID'],
    ['a\0', 'TAG_INVALID'],
    ['é', 'TAG_INVALID'],
    ['x'.repeat(256), 'TAG_INVALID'],
    [':', 'DIGEST_INVALID'],
    ['latest:', 'DIGEST_INVALID'],
    ['sha256:../..', 'DIGEST_INVALID'],
    ['sha256%3A', 'TAG_INVALID'],
    [digest.toUpperCase(), 'DIGEST_INVALID'],
    [`latest@${digest}`, 'DIGEST_INVALID'],
  ] as const)
    it(`refuses ${JSON.stringify(text.slice(0, 40))} with ${failure}`, () => {
      assert.throws(() => parseReference(text), { failure });
    });

  it('parseReference accepts nothing that could leave its folder', () => {
    const units = fc.constantFrom('a', '.', '..', '/', ':', '%2e', '%2F', '\0', '\\', 'sha256:', digest);
    fc.assert(
      fc.property(fc.string({ unit: units, maxLength: 8 }), (text) => {
        let reference;
        try {
          reference = parseReference(text);
        } catch {
          return;
        }
        const value = reference.kind === 'tag' ? reference.tag : reference.digest;
        assert.equal(value, text);
        assert.ok(value !== '.' && value !== '..' && !/[/\0\\%]/.test(value), value);
      }),
      { numRuns: 2000 },
    );
  });
});
