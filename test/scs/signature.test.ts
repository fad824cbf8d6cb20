import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeQuery, escapeKey, escapeValue, pathOf } from '../../lib/storage/scs/client/escape.ts';
import {
  authorization,
  dateHeader,
  signedQuery,
  type Signable,
} from '../../lib/storage/scs/client/signature.ts';
import { vectors, type KnownRequest } from './vectors.ts';

const { accessKey, secretKey, bucket } = vectors;
const keys = { accessKey, secretKey };

/** What was signed of a known request. */
function signable({ method, target, headers }: KnownRequest): Signable {
  const [path = '', search = ''] = target.split('?');
  const parameters = search === '' ? [] : search.split('&').map((one) => one.split('='));
  const query = Object.fromEntries(
    parameters.map(([name = '', value]) => [name, value === undefined ? null : decodeURIComponent(value)]),
  );
  return { method, path, query, headers };
}

function signed(request: Signable, date: string, of = keys): string {
  return authorization(of, request, date);
}

describe('the signature of a request', () => {
  for (const known of vectors.requests)
    it(`the signature of a request is that of SCS's own SDK: ${known.name}`, () => {
      assert.equal(signed(signable(known), known.headers['date'] ?? ''), known.headers['authorization']);
    });

  const base: Signable = {
    method: 'PUT',
    path: '/images/a',
    query: { acl: null },
    headers: {
      'content-md5': '1',
      'content-type': 'text/plain',
      'x-scs-meta-a': '1',
      'x-scs-copy-source': '/images/b',
    },
  };
  const date = 'Mon, 23 Nov 2026 21:37:11 UTC';
  const changes: Readonly<Record<string, [Signable, string?, typeof keys?]>> = {
    'the method': [{ ...base, method: 'GET' }],
    'the bucket': [{ ...base, path: '/image/a' }],
    'the key': [{ ...base, path: '/images/A' }],
    'Content-MD5': [{ ...base, headers: { ...base.headers, 'content-md5': '2' } }],
    'Content-Type': [{ ...base, headers: { ...base.headers, 'content-type': 'text/html' } }],
    'the date': [base, 'Mon, 23 Nov 2026 21:37:12 UTC'],
    metadata: [{ ...base, headers: { ...base.headers, 'x-scs-meta-a': '2' } }],
    'more metadata': [{ ...base, headers: { ...base.headers, 'x-scs-meta-b': '1' } }],
    'the source of a copy': [{ ...base, headers: { ...base.headers, 'x-scs-copy-source': '/images/c' } }],
    'a parameter that names another thing': [{ ...base, query: { location: null } }],
    'its value': [{ ...base, query: { acl: 'x' } }],
    'the secret key': [base, date, { ...keys, secretKey: 'vector/secret+key=0002' }],
    'x-scs-date, which takes the place of the date': [
      { ...base, headers: { ...base.headers, 'x-scs-date': date } },
    ],
  };
  for (const [name, [request, at = date, of = keys]] of Object.entries(changes))
    it(`changes with ${name}`, () => {
      assert.notEqual(signed(request, at, of), signed(base, date));
    });

  it('the signature of a request does not depend on unsigned headers', () => {
    const more = { ...base, query: { ...base.query, partNumber: '1', uploads: null } };
    const withRange = { ...more, headers: { ...base.headers, range: 'bytes=0-1' } };
    assert.equal(signed(withRange, date), signed(base, date));
  });

  it('leaves out the date if x-scs-date is sent', () => {
    const request = { ...base, headers: { ...base.headers, 'x-scs-date': date } };
    assert.equal(signed(request, 'one day'), signed(request, 'another day'));
  });

  it('the signature of a request contains sub-resources in order', () => {
    const [one, other] = [
      { ...base, query: { acl: null, location: null } },
      { ...base, query: { location: null, acl: null } },
    ];
    assert.equal(signed(one, date), signed(other, date));
  });
});

describe('a signed URL', () => {
  for (const { expires, key, url } of vectors.signedUrls)
    it(`a signed URL is that of SCS's own SDK: ${key}`, () => {
      const request = { method: 'GET', path: pathOf(bucket, key), query: {}, headers: {} };
      const query = signedQuery(keys, request, Number(expires));
      assert.equal(`http://127.0.0.1:8800${request.path}${encodeQuery(query)}`, url);
    });
});

describe('the Date header', () => {
  it('the Date header has the zone UTC', () => {
    assert.equal(dateHeader(new Date('2026-11-03T01:02:03.456Z')), 'Tue, 03 Nov 2026 01:02:03 UTC');
  });
});

describe('escaping', () => {
  const everyByte: readonly string[] = Array.from({ length: 0x7f }, (_, i) => String.fromCharCode(i + 1));

  it('leaves letters, digits and _-~./: of a key, and nothing else', () => {
    const left = everyByte.filter((character) => escapeKey(character) === character).join('');
    assert.equal(left, '-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~');
  });

  it('leaves letters, digits and _-~. of a value', () => {
    const left = everyByte.filter((character) => escapeValue(character) === character).join('');
    assert.equal(left, '-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~');
  });

  const known = {
    ' ': '%20',
    '+': '%2B',
    '%': '%25',
    '*': '%2A',
    '(': '%28',
    '\u00e9': '%C3%A9',
    镜: '%E9%95%9C',
  };
  for (const [character, escaped] of Object.entries(known))
    it(`writes ${JSON.stringify(character)} as ${escaped}`, () => {
      assert.equal(escapeKey(character), escaped);
      assert.equal(escapeValue(character), escaped);
    });

  it('escaping is undone by decoding, whatever the key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (key) => {
        assert.equal(decodeURIComponent(escapeKey(key)), key);
        assert.match(escapeKey(key), /^([A-Za-z0-9_\-~./:]|%[0-9A-F]{2})*$/);
      }),
    );
  });
});
