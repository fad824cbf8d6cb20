import type { Case, Expectation } from './case.ts';

function simple(title: string, method: string, path: string, expect: Expectation): Case {
  return { title, act: async () => await Promise.resolve({ ask: { method, path }, expect }) };
}

const json = { 'content-type': 'application/json' };
const nowhere: Expectation = { status: 404, errors: ['UNSUPPORTED'] };

/** Whatever credentials come with it, since a load balancer has none. */
function probe(path: string, status: string): Case[] {
  const uncached = { ...json, 'cache-control': 'no-store' };
  return [
    simple(`GET ${path} says that it is ${status}`, 'GET', path, {
      status: 200,
      headers: uncached,
      json: { status },
    }),
    simple(`HEAD ${path} does without a body`, 'HEAD', path, { status: 200, headers: uncached }),
    simple(`POST ${path} is refused`, 'POST', path, {
      status: 405,
      headers: { allow: 'GET, HEAD' },
      errors: ['UNSUPPORTED'],
    }),
  ];
}

/** A repository may have the name of a probe. */
const namesake: Case = {
  title: 'a repository called readyz has its tags',
  act: async ({ client }) => {
    await client.pushImage('readyz', 'livez');
    return {
      ask: { method: 'GET', path: '/v2/readyz/tags/list' },
      expect: { status: 200, json: { name: 'readyz', tags: ['livez'] } },
    };
  },
};

export const baseCases: readonly Case[] = [
  simple('GET /v2/ says that this is a registry', 'GET', '/v2/', { status: 200, headers: json, json: {} }),
  simple('GET /v2 does as well', 'GET', '/v2', { status: 200, headers: json, json: {} }),
  simple('HEAD /v2/ does without a body', 'HEAD', '/v2/', { status: 200, headers: json }),
  simple('POST /v2/ is refused', 'POST', '/v2/', {
    status: 405,
    headers: { allow: 'GET, HEAD' },
    errors: ['UNSUPPORTED'],
  }),
  ...['/v2/_oci/ext/discover', '/v2/team/app/_oci/ext/discover'].map((path) =>
    simple(`GET ${path} lists the extensions`, 'GET', path, {
      status: 200,
      headers: json,
      mentions: ['{"extensions":[', '"name":"_oci"', '"url":"https://', '"endpoints":["_oci/ext/discover"]'],
    }),
  ),
  simple('extensions of a name out of grammar are refused', 'GET', '/v2/Team/_oci/ext/discover', {
    status: 400,
    errors: ['NAME_INVALID'],
  }),
  simple('another extension is 404', 'GET', '/v2/_oci/ext/other', nowhere),
  ...['/', '/livez', '/readyz'].flatMap((path) => probe(path, path === '/readyz' ? 'ready' : 'live')),
  simple('a path beside /v2/ is 404', 'GET', '/healthz', nowhere),
  namesake,
  simple('a path below /v2/ that is no endpoint is 404', 'GET', '/v2/team/app', nowhere),
  simple(
    'a name that is too long for the gateway has its tags all the same',
    'GET',
    '/v2/a/b/c/d/e/f/tags/list',
    {
      status: 404,
      errors: ['NAME_UNKNOWN'],
    },
  ),
];
