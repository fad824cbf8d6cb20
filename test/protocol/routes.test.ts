import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  gatewayRoutes,
  groups,
  matchPath,
  parseRoute,
  routedSegments,
  type Group,
} from '../../lib/protocol/routes.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

/** The words of the routes, which may all be parts of names as well. */
const words = [
  'a',
  '0',
  'tags',
  'list',
  'blobs',
  'uploads',
  'manifests',
  'v2',
  'v1',
  'search',
  '_ping',
  'latest',
  '_catalog',
  digest,
  '{n1}',
];

/** A route as the gateway has it. */
interface Candidate {
  readonly group: Group | undefined;
  readonly segments: readonly string[];
  /** Whether any number of segments follow. */
  readonly greedy: boolean;
  readonly method: string;
}

/** Those the registry is deployed with: the specific ones, and one for all the rest. */
const candidates: readonly Candidate[] = [
  ...gatewayRoutes().map(({ group, method, path }) => ({
    group,
    method,
    segments: path.split('/'),
    greedy: false,
  })),
  { group: undefined, method: '*', segments: [''], greedy: true },
];

interface Choice {
  /** Undefined for the function that holds all groups. */
  readonly group: Group | undefined;
  readonly variables: Readonly<Record<string, string>>;
}

const isVariable = (segment: string | undefined): boolean => segment?.startsWith('{') === true;

/**
 * What API Gateway's HTTP APIs choose: a full match before a greedy one, literal segments before variables from the
 * left, a method of its own before any. A slash at the end makes a segment more, and a variable takes no empty one.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
 */
function choose(method: string, path: string): Choice {
  const given = path.split('/');
  const [best, next] = candidates.filter((one) => matches(one, method, given)).sort(bySpecificity);
  assert.ok(best, `${method} ${path} reaches no function`);
  assert.ok(next === undefined || bySpecificity(best, next) < 0, `${method} ${path} fits two routes alike`);
  return {
    group: best.group,
    variables: Object.fromEntries(
      best.segments.flatMap((segment, i) =>
        isVariable(segment) ? [[segment.slice(1, -1), given[i] ?? '']] : [],
      ),
    ),
  };
}

function matches({ segments, greedy, method }: Candidate, wanted: string, given: readonly string[]): boolean {
  if (method !== '*' && method !== wanted) return false;
  if (greedy ? given.length < segments.length : given.length !== segments.length) return false;
  return segments.every((segment, i) => (isVariable(segment) ? given[i] !== '' : segment === given[i]));
}

function bySpecificity(a: Candidate, b: Candidate): number {
  if (a.greedy !== b.greedy) return a.greedy ? 1 : -1;
  const at = a.segments.findIndex((segment, i) => isVariable(segment) !== isVariable(b.segments[i]));
  if (at >= 0) return isVariable(a.segments[at]) ? 1 : -1;
  return Number(a.method === '*') - Number(b.method === '*');
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Holds of every path: the gateway's function serves it, and reads out of it what the parser does. */
function assertAgreement(method: string, path: string): void {
  const chosen = choose(method, path);
  const parsed = matchPath(path);
  if (chosen.group !== undefined) {
    assert.equal(parsed?.group, chosen.group, `${method} ${path} reaches ${chosen.group}`);
    const { variables } = chosen;
    const name = Object.entries(variables).filter(([variable]) => /^n\d$/.test(variable));
    assert.deepEqual(
      parsed.name,
      name.map(([, segment]) => segment),
      path,
    );
    const leaf = chosen.group === 'search' || chosen.group === 'health' ? path.split('/').at(-1) : undefined;
    assert.equal(parsed.leaf, leaf ?? variables['reference'] ?? variables['digest'] ?? variables['id'], path);
  }
  const routed = parsed !== undefined && parsed.name.length <= routedSegments && !path.endsWith('/');
  // A gateway's variable takes no empty segment; such a name or leaf is refused by any function.
  if (routed && !path.includes('//'))
    assert.equal(chosen.group, parsed.group, `${method} ${path} is for ${parsed.group}`);
}

const methodOf = fc.constantFrom(...methods);
const segmentsOf = (minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(...words), { minLength, maxLength });

const tails: readonly (readonly string[])[] = [
  ['tags', 'list'],
  ['manifests', 'latest'],
  ['manifests', digest],
  ['manifests', 'manifests'],
  ['blobs', digest],
  ['blobs', 'uploads'],
  ['blobs', 'uploads', ''],
  ['blobs', 'uploads', '0'],
  ['blobs', 'uploads', 'uploads'],
  ['blobs', 'uploads', 'list'],
];

describe("the gateway's routes and the parser", () => {
  it("the gateway's routes and the parser agree on every name of 1 to 7 words of the routes before every kind of endpoint", () => {
    fc.assert(
      fc.property(methodOf, segmentsOf(1, 7), fc.constantFrom(...tails), (method, name, tail) => {
        assertAgreement(method, ['/v2', ...name, ...tail].join('/'));
      }),
      { numRuns: 20_000 },
    );
  });

  it("the gateway's routes and the parser agree on any row of words of the routes", () => {
    fc.assert(
      fc.property(
        methodOf,
        fc.constantFrom('v2', 'v1'),
        segmentsOf(0, 9),
        fc.boolean(),
        (method, version, segments, slash) => {
          assertAgreement(method, `${[`/${version}`, ...segments].join('/')}${slash ? '/' : ''}`);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it("the gateway's routes and the parser agree on every row of up to five of the words that endpoints are made of", () => {
    const few = ['tags', 'list', 'blobs', 'uploads', 'manifests', 'a'];
    const rows = (length: number): string[][] =>
      length === 0 ? [[]] : rows(length - 1).flatMap((row) => few.map((word) => [...row, word]));
    for (const length of [0, 1, 2, 3, 4, 5])
      for (const row of rows(length))
        for (const slash of ['', '/'])
          for (const method of ['GET', 'POST', 'PUT'])
            assertAgreement(method, `${['/v2', ...row].join('/')}${slash}`);
  });

  it("the gateway's routes and the parser agree on any path", () => {
    const unit = fc.constantFrom(
      '/',
      '/',
      '.',
      'a',
      'v2',
      'tags',
      'list',
      'blobs',
      'uploads',
      'manifests',
      '%',
      'é',
      '\0',
      ':',
      '{',
      '}',
    );
    fc.assert(
      fc.property(
        methodOf,
        fc.oneof(fc.string({ unit, maxLength: 20 }), fc.string({ unit: 'binary' })),
        fc.boolean(),
        (method, text, prefixed) => {
          // An escape is resolved by the parser and by neither side of a comparison of words.
          const path = text.replaceAll('%', '');
          assertAgreement(method, `/${prefixed ? 'v2/' : ''}${path}`);
        },
      ),
      { numRuns: 10_000 },
    );
  });

  for (const name of [
    'a',
    'a/tags/list',
    'a/blobs/uploads',
    'manifests/manifests',
    'tags/list',
    'v2',
    'blobs/uploads/uploads',
    'uploads/tags/list/manifests',
    'a/b/c/d/e/f',
    'a/b/c/d/tags/list',
  ])
    for (const [group, tail, leaf] of [
      ['tags', 'tags/list', undefined],
      ['manifests', 'manifests/list', 'list'],
      ['manifests', 'manifests/uploads', 'uploads'],
      ['blobs', `blobs/${digest}`, digest],
      ['uploads', 'blobs/uploads', undefined],
      ['uploads', 'blobs/uploads/', undefined],
      ['uploads', 'blobs/uploads/list', 'list'],
    ] as const)
      it(`${name}/${tail.replace(digest, 'sha256:…')} is routed to ${group} of ${name}`, () => {
        const path = `/v2/${name}/${tail}`;
        assert.deepEqual(matchPath(path), { group, name: name.split('/'), leaf });
        assert.equal(choose('POST', path).group, name.split('/').length > routedSegments ? undefined : group);
      });

  it('every route exists once and has a group', () => {
    const rows = gatewayRoutes().map(({ method, path }) => `${method} ${path}`);
    assert.equal(new Set(rows).size, rows.length);
    assert.deepEqual(new Set(gatewayRoutes().map(({ group }) => group)), new Set(groups));
  });

  it('no route exists twice without its trailing slash, as serverless-offline drops it', () => {
    const dropped = gatewayRoutes().map(({ method, path }) => ({ method, path: path.replace(/\/$/, '') }));
    const rows = dropped.map(({ method, path }) => `${method} ${path}`);
    assert.equal(new Set(rows).size, rows.length);
  });

  it('the function of uploads is reached with a trailing slash', () => {
    for (const name of ['a', 'a/b', 'a/b/c', 'a/b/c/d'])
      assert.equal(choose('POST', `/v2/${name}/blobs/uploads/`).group, 'uploads');
    assert.equal(choose('GET', '/v2/').group, 'base');
  });
});

describe('matchPath', () => {
  for (const path of [
    '',
    '//',
    '/livez/',
    '/readyz/',
    '/readyz/x',
    '/healthz',
    'v2',
    '/v1/',
    '/v1',
    '/v1/search/',
    '/v1/_catalog',
    '/v1/a/tags/list',
    '/v2/search',
    '/v2/_ping',
    '/v2x',
    '//v2/',
    '/V2/',
    '/v2//',
    '/v2/_catalog/',
    '/v2/tags/list',
    '/v2/manifests/latest',
    '/v2/a',
    '/v2/a/tags',
    '/v2/a/tags/list/',
    '/v2/a/manifests/x/',
    '/v2/a/manifests',
    '/v2/blobs/uploads/',
    '/v2/a/b',
    '/v2/token',
    '/token/',
    '/token/x',
    '/v2/a/blobs/uploads//',
    '/%2fv2/',
  ])
    it(`knows no endpoint at ${JSON.stringify(path)}`, () => {
      const found = matchPath(path);
      // What an empty segment makes of a path is refused as a name, if not as a path.
      if (found !== undefined) assert.throws(() => parseRoute(path));
      if (!path.includes('//')) assert.equal(found, undefined);
      assert.throws(() => parseRoute(path), { status: found === undefined ? 404 : 400 });
    });

  it('knows the endpoints without a repository, the first with and without its slash', () => {
    assert.deepEqual(parseRoute('/v2'), { group: 'base' });
    assert.deepEqual(parseRoute('/v2/'), { group: 'base' });
    assert.deepEqual(parseRoute('/v2/_catalog'), { group: 'catalog' });
    assert.deepEqual(parseRoute('/v1/_ping'), { group: 'search', resource: 'ping' });
    assert.deepEqual(parseRoute('/token'), { group: 'token' });
    assert.deepEqual(parseRoute('/v1/search'), { group: 'search', resource: 'results' });
  });

  it('takes a colon that is percent-encoded, as jib sends it', () => {
    for (const sent of [encodeURIComponent(digest), digest.replace(':', '%3a')])
      assert.deepEqual(parseRoute(`/v2/a/manifests/${sent}`), {
        group: 'manifests',
        name: 'a',
        reference: { kind: 'digest', digest },
      });
  });

  it('matchPath decodes nothing else, so that no path has a second spelling', () => {
    assert.equal(matchPath('/v2/a%2Ftags%2Flist'), undefined);
    assert.equal(matchPath('/v2/a/t%61gs/list'), undefined);
    assert.equal(matchPath('/%76%32/a/tags/list'), undefined);
    assert.deepEqual(matchPath('/v2/a%2Fb/tags/list')?.name, ['a%2Fb']);
    assert.equal(matchPath('/v2/a/manifests/b%2Fblobs')?.leaf, 'b%2Fblobs');
    assert.equal(matchPath('/v2/a/blobs/uploads/%2e')?.leaf, '%2e');
  });
});

describe('parseTarget', () => {
  for (const [path, failure] of [
    ['/v2/../tags/list', 'NAME_INVALID'],
    ['/v2/%2e%2e/tags/list', 'NAME_INVALID'],
    ['/v2/a/%2E%2E/b/tags/list', 'NAME_INVALID'],
    ['/v2/a%2F..%2Fb/tags/list', 'NAME_INVALID'],
    ['/v2/a%00/tags/list', 'NAME_INVALID'],
    ['/v2/A/tags/list', 'NAME_INVALID'],
    ['/v2/caf%C3%A9/tags/list', 'NAME_INVALID'],
    ['/v2/%ff/tags/list', 'NAME_INVALID'],
    ['/v2/%/tags/list', 'NAME_INVALID'],
    ['/v2//tags/list', 'NAME_INVALID'],
    ['/v2/a//b/tags/list', 'NAME_INVALID'],
    ['/v2/_catalog/tags/list', 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/tags/list`, 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(100_000)}tags/list`, 'NAME_INVALID'],
    ['/v2/a/manifests/..', 'TAG_INVALID'],
    ['/v2/a/manifests/%2e%2e', 'TAG_INVALID'],
    ['/v2/a/manifests/%252e', 'TAG_INVALID'],
    ['/v2/a/manifests/a%2Fb', 'TAG_INVALID'],
    ['/v2/a/manifests/a%00', 'TAG_INVALID'],
    ['/v2/a/manifests/sha256:..%2F..', 'DIGEST_INVALID'],
    ['/v2/a/blobs/latest', 'DIGEST_INVALID'],
    ['/v2/a/blobs/sha256:%2e%2e', 'DIGEST_INVALID'],
    [`/v2/a/blobs/${digest.toUpperCase()}`, 'DIGEST_INVALID'],
    ['/v2/a/tags/other', 'ROUTE_UNKNOWN'],
    ['/v2/%61/tags/list', 'NAME_INVALID'],
    ['/v2/priv%2Fapp/tags/list', 'NAME_INVALID'],
    ['/v2/priv%2fapp/tags/list', 'NAME_INVALID'],
    ['/v2/priv%252Fapp/tags/list', 'NAME_INVALID'],
    ['/v2/priv%5Capp/tags/list', 'NAME_INVALID'],
    ['/v2/priv\\app/tags/list', 'NAME_INVALID'],
    ['/v2/priv%2Dapp/tags/list', 'NAME_INVALID'],
    ['/v2/priv%C0%AFapp/tags/list', 'NAME_INVALID'],
    ['/v2/priv;x/app/tags/list', 'NAME_INVALID'],
    ['/v2/a/..;/priv/tags/list', 'NAME_INVALID'],
    ['/v2/./priv/tags/list', 'NAME_INVALID'],
    ['/v2/a/manifests/%6catest', 'TAG_INVALID'],
    ['/v2/a/manifests/v1%2E0', 'TAG_INVALID'],
    ['/v2/a/manifests/v1%7E', 'TAG_INVALID'],
    ['/v2/a/manifests/v1#x', 'TAG_INVALID'],
    [`/v2/a/blobs/${digest.replace('0', '%30')}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/${digest.replace(':', '%253A')}`, 'DIGEST_INVALID'],
    ['/%76%32/a/tags/list', 'ROUTE_UNKNOWN'],
    ['/v2%2F', 'ROUTE_UNKNOWN'],
    ['/v2/%5fcatalog', 'ROUTE_UNKNOWN'],
    ['/v2/a/tags%2Flist', 'ROUTE_UNKNOWN'],
    ['/v2/a/bl%6fbs/uploads/', 'ROUTE_UNKNOWN'],
    ['/v2/./', 'ROUTE_UNKNOWN'],
    ['/v2/x/../_catalog', 'ROUTE_UNKNOWN'],
  ] as const)
    it(`refuses ${path.slice(0, 50)} with ${failure}`, () => {
      assert.throws(() => parseRoute(path), { failure });
    });

  it('parseTarget says that a path must not be percent-encoded and quotes it', () => {
    const message = 'invalid repository name; in a path nothing but a colon may be percent-encoded';
    assert.throws(() => parseRoute('/v2/priv%2Fapp/tags/list'), {
      errors: [{ code: 'NAME_INVALID', message, detail: { name: 'priv%2Fapp' } }],
    });
    assert.throws(() => parseRoute('/%76%32/'), { message: /percent-encoded/ });
    assert.throws(() => parseRoute('/v2/A/tags/list'), { message: 'invalid repository name' });
  });

  it('parseTarget turns any escape into a valid name or an error', () => {
    const unit = fc.constantFrom(
      'a',
      '.',
      '/',
      '%',
      '2',
      'e',
      '2e',
      '%2e',
      '%2F',
      '%00',
      '%c3',
      '_',
      'tags/list',
      'manifests/',
      'é',
      digest,
    );
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
        let target;
        try {
          target = parseRoute(`/v2/${text}`);
        } catch (error) {
          assert.equal((error as Error).name, 'RegistryError', String(error));
          return;
        }
        if ('name' in target) assert.match(target.name, /^[a-z0-9][a-z0-9._/-]*$/);
      }),
      { numRuns: 5000 },
    );
  });
});
