import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  assertConditions,
  entityTag,
  matchesIfNoneMatch,
  isConditional,
  preconditionFailed,
} from '../../lib/protocol/conditions.ts';
import { digestFrom, type Digest } from '../../lib/protocol/digests.ts';

const digest = digestFrom('sha256', 'a'.repeat(64));
const other = digestFrom('sha256', 'b'.repeat(64));
const [strong, otherStrong] = [`"${digest}"`, `"${other}"`];
const [weak, otherWeak] = [`W/${strong}`, `W/${otherStrong}`];

/** What a list may say of content, and how it compares with that content (RFC 9110, section 8.8.3.2). */
const lists: readonly (readonly [string, { readonly strongly: boolean; readonly weakly: boolean }])[] = [
  ['*', { strongly: true, weakly: true }],
  [' * ', { strongly: true, weakly: true }],
  [strong, { strongly: true, weakly: true }],
  [weak, { strongly: false, weakly: true }],
  [otherStrong, { strongly: false, weakly: false }],
  [otherWeak, { strongly: false, weakly: false }],
  [`${otherStrong}, ${strong}`, { strongly: true, weakly: true }],
  [`${otherStrong},${strong},"x"`, { strongly: true, weakly: true }],
  [`${otherStrong} ,\t${strong}`, { strongly: true, weakly: true }],
  [`${otherStrong}, ${weak}`, { strongly: false, weakly: true }],
  [`${weak}, ${strong}`, { strongly: true, weakly: true }],
  // A recipient must pass over empty elements (section 5.6.1.2).
  [`, ,${strong},,`, { strongly: true, weakly: true }],
  [',', { strongly: false, weakly: false }],
  ['""', { strongly: false, weakly: false }],
  // A tag like any other, which is not the content's.
  // Commas may stand within a tag, and `*` alone.
  ['"x,*,y"', { strongly: false, weakly: false }],
  [`"x,${digest},y"`, { strongly: false, weakly: false }],
  [`"x,", ${strong}`, { strongly: true, weakly: true }],
  ['"*"', { strongly: false, weakly: false }],
  ['W/*', { strongly: false, weakly: false }],
  // Tags are quoted, opaque and compared by each character.
  [digest, { strongly: false, weakly: false }],
  [`'${digest}'`, { strongly: false, weakly: false }],
  [strong.toUpperCase(), { strongly: false, weakly: false }],
  [`w/${strong}`, { strongly: false, weakly: false }],
  [`W/ ${strong}`, { strongly: false, weakly: false }],
  [`"${digest.slice(0, -1)}"`, { strongly: false, weakly: false }],
  [`"${digest}a"`, { strongly: false, weakly: false }],
];

const refused = { failure: 'PRECONDITION_FAILED', status: 412 };

describe('entityTag', () => {
  it('entityTag is strong and contains each algorithm, so that different contents never share it', () => {
    assert.equal(entityTag(digest), strong);
    const sha512 = digestFrom('sha512', 'a'.repeat(128));
    assert.equal(entityTag(sha512), `"${sha512}"`);
  });
});

describe('hasContent', () => {
  for (const [list, { weakly }] of [...lists, ['', { weakly: false }] as const])
    it(`says ${weakly ? 'yes' : 'no'} to ${JSON.stringify(list)}`, () => {
      assert.equal(matchesIfNoneMatch(list, digest), weakly);
    });
});

describe('the conditions of a write', () => {
  const holds = (conditions: { ifMatch?: string; ifNoneMatch?: string }, current: Digest | undefined) => {
    assertConditions({ ifMatch: '', ifNoneMatch: '', ...conditions }, current);
  };

  for (const [list, { strongly, weakly }] of lists) {
    it(`If-Match: ${list} ${strongly ? 'holds' : 'fails'}`, () => {
      const check = () => {
        holds({ ifMatch: list }, digest);
      };
      if (strongly) check();
      else assert.throws(check, refused);
    });

    it(`If-None-Match: ${list} ${weakly ? 'fails' : 'holds'}`, () => {
      const check = () => {
        holds({ ifNoneMatch: list }, digest);
      };
      if (weakly) assert.throws(check, refused);
      else check();
    });

    it(`If-Match: ${list} fails and If-None-Match holds if nothing exists`, () => {
      assert.throws(() => {
        holds({ ifMatch: list }, undefined);
      }, refused);
      holds({ ifNoneMatch: list }, undefined);
    });
  }

  it('a write without headers has no conditions', () => {
    for (const current of [digest, undefined]) holds({}, current);
    assert.equal(isConditional({ ifMatch: '', ifNoneMatch: '' }), false);
    assert.equal(isConditional({ ifMatch: '*', ifNoneMatch: '' }), true);
    assert.equal(isConditional({ ifMatch: '', ifNoneMatch: '*' }), true);
  });

  it('all conditions of a write must hold', () => {
    holds({ ifMatch: strong, ifNoneMatch: otherStrong }, digest);
    for (const conditions of [
      { ifMatch: strong, ifNoneMatch: weak },
      { ifMatch: otherStrong, ifNoneMatch: otherStrong },
      { ifMatch: '*', ifNoneMatch: '*' },
    ])
      for (const current of [digest, undefined])
        assert.throws(() => {
          holds(conditions, current);
        }, refused);
  });

  it('conditions of a write find an entity tag anywhere in a list', () => {
    // Without commas, which may be within a tag.
    const tags = fc.array(fc.stringMatching(/^(?:W\/)?"[!#-+\--~]{0,20}"$/), { maxLength: 20 });
    fc.assert(
      fc.property(tags, fc.nat(), fc.constantFrom(',', ', ', ' ,\t'), (others, at, comma) => {
        const without = others.join(comma);
        const within = others.toSpliced(at % (others.length + 1), 0, strong).join(comma);
        holds({ ifMatch: within, ifNoneMatch: without }, digest);
        assert.equal(matchesIfNoneMatch(without, digest), false);
        assert.equal(matchesIfNoneMatch(within, digest), true);
      }),
    );
  });

  it('failed conditions of a write report the current entity tag', () => {
    const detail = (current?: Digest): unknown => preconditionFailed(current).errors[0]?.detail;
    assert.deepEqual(detail(digest), { current: digest });
    assert.equal(detail(), undefined);
    assert.throws(
      () => {
        holds({ ifMatch: otherStrong }, digest);
      },
      { errors: [{ code: 'DENIED', message: preconditionFailed().message, detail: { current: digest } }] },
    );
  });
});
