import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nextPageLink, parsePage } from '../../lib/protocol/pages.ts';

const parse = (query: string) => parsePage(new URLSearchParams(query), 100);

describe('parsePage', () => {
  for (const [query, page] of [
    ['', { n: 100, last: '' }],
    ['n=0', { n: 0, last: '' }],
    ['n=1', { n: 1, last: '' }],
    ['n=007', { n: 7, last: '' }],
    ['n=999', { n: 999, last: '' }],
    ['n=1000', { n: 1000, last: '' }],
    ['n=1001', { n: 1000, last: '' }],
    ['n=1000000000', { n: 1000, last: '' }],
    ['n=99999999999999999999', { n: 1000, last: '' }],
    ['last=a%2Fb&n=5', { n: 5, last: 'a/b' }],
    ['last=', { n: 100, last: '' }],
    ['last=a&last=a', { n: 100, last: 'a' }],
    ['other=1', { n: 100, last: '' }],
  ] as const)
    it(`reads ${query === '' ? 'no query' : query} as ${page.n} entries after ${JSON.stringify(page.last)}`, () => {
      assert.deepEqual(parse(query), page);
    });

  for (const query of [
    'n=-1',
    'n=abc',
    'n=',
    'n=1e9',
    'n=1.5',
    'n=0x10',
    'n=Infinity',
    'n=NaN',
    'n=%2B1',
    'n=%201',
    'n=1%0A',
    'n=1&n=1',
    'n=1&n=2',
    'n=&n=1',
    'n=٣',
    `n=${'9'.repeat(21)}`,
    `n=${'9'.repeat(100_000)}`,
  ])
    it(`refuses ${query.slice(0, 40)}`, () => {
      assert.throws(
        () => parse(query),
        (error: { failure?: string; status?: number }) =>
          error.failure === 'PAGINATION_NUMBER_INVALID' &&
          error.status === 400 &&
          JSON.stringify(error).length < 1000,
      );
    });

  it('refuses two values of last, as a proxy may use the other one', () => {
    assert.throws(() => parse('last=a&last=b'), { failure: 'QUERY_INVALID' });
  });

  it('cuts a default above the largest page as well', () => {
    assert.equal(parsePage(new URLSearchParams(), 5000).n, 1000);
  });
});

describe('nextPageLink', () => {
  it('names the path and the page in the form of RFC 8288', () => {
    assert.equal(
      nextPageLink('/v2/a/tags/list', { n: 2, last: 'v1' }),
      '</v2/a/tags/list?last=v1&n=2>; rel="next"',
    );
  });

  it('nextPageLink leads to its page for any value of last', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.string({ unit: 'grapheme' }), (n, last) => {
        const [, target = ''] =
          /^<([^<>" ]*)>; rel="next"$/.exec(nextPageLink('/v2/_catalog', { n, last })) ?? [];
        const url = new URL(target, 'http://registry');
        assert.equal(url.pathname, '/v2/_catalog');
        assert.deepEqual(parsePage(url.searchParams, 100), { n, last });
      }),
    );
  });
});
