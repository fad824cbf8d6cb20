import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isRepositoryName, parseRepositoryName } from '../../lib/protocol/names.ts';

const good = [
  'a',
  '0',
  'library/alpine',
  'a/b/c/d/e/f',
  'a.b',
  'a_b',
  'a__b',
  'a-b',
  'a---b',
  'a.b_c__d-e',
  '1.2.3/4-5',
  // Words of our own paths are names like any other.
  'tags/list',
  'a/blobs/uploads',
  'manifests/manifests',
  'v2',
  'a'.repeat(255),
  Array(128).fill('a').join('/'),
];

const bad = {
  'nothing at all': '',
  'a parent folder': '..',
  'a path that climbs': 'a/../b',
  'a folder itself': 'a/./b',
  'a leading slash': '/a',
  'a trailing slash': 'a/',
  'an empty component': 'a//b',
  'an escaped parent folder': '%2e%2e/a',
  'an escaped slash': 'a%2Fb',
  NUL: 'a\0b',
  'a line feed at the end': 'a\n',
  'a line feed within': 'a\nb',
  'a carriage return': 'a\r',
  'an upper-case letter': 'A',
  'an upper-case letter in a later component': 'a/bC',
  'a letter that is not ASCII': 'café',
  'digits that are not ASCII': 'a٣',
  'a long s, which lower-cases to s': 'ſ',
  'a lone surrogate': 'a\ud800',
  'a backslash': 'a\\b',
  'a space': 'a b',
  'a colon': 'a:b',
  'an underscore first, as folders of the layout have': '_layers',
  'an underscore first in a component': 'a/_manifests/tags',
  'a dot first': '.a',
  'a dash first': '-a',
  'a separator last': 'a.',
  'a dash last': 'a-/b',
  'two dots': 'a..b',
  'three underscores': 'a___b',
  'mixed separators': 'a._b',
  '256 characters': 'a'.repeat(256),
  '256 characters in components': `${Array(128).fill('a').join('/')}/`.concat('a'),
};

describe('parseRepositoryName', () => {
  for (const name of good)
    it(`takes ${name.length > 40 ? `one of ${name.length} characters` : name}`, () => {
      assert.equal(parseRepositoryName(name), name);
      assert.equal(isRepositoryName(name), true);
    });

  for (const [what, name] of Object.entries(bad))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseRepositoryName(name), { failure: 'NAME_INVALID', status: 400 });
      assert.equal(isRepositoryName(name), false);
    });

  // What makes a pattern backtrack: runs that fit in many ways, and an end that does not fit. One that took
  // exponential time would not come back at all.
  for (const unit of ['a', 'a-', 'a_', 'a__', '-', '__', 'a/', 'a.a/', 'a--', '0-0'])
    it(`parseRepositoryName ends on a near miss made of ${unit}`, () => {
      assert.equal(isRepositoryName(`${unit.repeat(255).slice(0, 254)}!`), false);
      assert.equal(isRepositoryName(`${unit.repeat(100_000)}!`), false);
    });

  it('repeats no more than 255 characters of what it refuses', () => {
    assert.throws(
      () => parseRepositoryName('x'.repeat(1_000_000)),
      (error: unknown) => JSON.stringify(error).length < 1000,
    );
  });

  it('accepts exactly valid components joined by slashes', () => {
    const characters = fc.constantFrom('a', '0', '.', '_', '-', '/', 'A', '%', 'é', '\0');
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 12 }), (text) => {
        const expected = text.split('/').every(isComponent);
        assert.equal(isRepositoryName(text), expected);
      }),
      { numRuns: 5000 },
    );
  });
});

/** The spec's grammar, read character by character. */
function isComponent(text: string): boolean {
  const runs = text.match(/[a-z0-9]+|[^a-z0-9]+/g) ?? [];
  const isWord = (run: string) => /^[a-z0-9]/.test(run);
  return (
    isWord(runs[0] ?? '') &&
    isWord(runs.at(-1) ?? '') &&
    runs.every((run) => isWord(run) || ['.', '_', '__'].includes(run) || /^-+$/.test(run))
  );
}
