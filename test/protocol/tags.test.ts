import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isTag, parseTag } from '../../lib/protocol/tags.ts';

const good = [
  'latest',
  'a',
  'Z',
  '0',
  '_',
  '__',
  'v1.0',
  'V1',
  'v1-rc.1_x',
  'a..b',
  'a.',
  'a-',
  'current',
  'index',
  'list',
  'uploads',
  'x'.repeat(128),
];

const bad = {
  'nothing at all': '',
  'a folder itself': '.',
  'a parent folder': '..',
  'a dot first': '.a',
  'a dash first': '-a',
  'a slash': 'a/b',
  'an escaped slash': 'a%2Fb',
  'an escaped parent folder': '%2e%2e',
  NUL: 'a\0',
  'a line feed at the end': 'a\n',
  'a space': 'a b',
  'a colon': 'a:b',
  'a plus sign, as in a semantic version': '1.0+x',
  'a letter that is not ASCII': 'é',
  'a digit that is not ASCII': '٣',
  'a lone surrogate': 'a\ud800',
  '129 characters': 'x'.repeat(129),
  '256 characters': 'x'.repeat(256),
};

describe('parseTag', () => {
  for (const tag of good)
    it(`takes ${tag.length > 40 ? `one of ${tag.length} characters` : tag}`, () => {
      assert.equal(parseTag(tag), tag);
      assert.equal(isTag(tag), true);
    });

  for (const [what, tag] of Object.entries(bad))
    it(`refuses ${what}`, () => {
      assert.throws(() => parseTag(tag), { failure: 'TAG_INVALID', status: 400 });
      assert.equal(isTag(tag), false);
    });

  it('repeats no more than 128 characters of what it refuses', () => {
    assert.throws(() => parseTag('/'.repeat(1_000_000)), {
      errors: [{ code: 'TAG_INVALID', message: 'invalid tag', detail: { tag: '/'.repeat(128) } }],
    });
  });
});
