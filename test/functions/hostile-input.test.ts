import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Client, digestOf, type Ask, type Reply } from './client.ts';
import {
  bytes,
  digest,
  digestInvalid,
  hostileInput,
  name,
  nameInvalid,
  noEndpoint,
  tagInvalid,
  type Refusal,
} from './hostile-input.ts';

/** A request by name for each kind of route with a name. */
const routes: Readonly<Record<string, (text: string) => Ask>> = {
  tags: (text) => ({ method: 'GET', path: `/v2/${text}/tags/list` }),
  manifest: (text) => ({ method: 'PUT', path: `/v2/${text}/manifests/v1`, body: bytes }),
  blob: (text) => ({ method: 'DELETE', path: `/v2/${text}/blobs/${digest}` }),
  upload: (text) => ({ method: 'POST', path: `/v2/${text}/blobs/uploads/?digest=${digest}`, body: bytes }),
};

const badNames: readonly string[] = [
  '..',
  'a/..',
  'a/../b',
  '%2e%2e',
  'a%2f%2e%2e%2fb',
  'a/.',
  'a%00b',
  'A',
  'a/B',
  'a%C3%A4',
  'a%ff',
  'a%2',
  'a%',
  'a%20b',
  'a%0d%0ab',
  'a\\b',
  '-a',
  'a-',
  'a..b',
  'a___b',
  '_a',
  'a/_layers',
  `${'a/'.repeat(127)}ab`,
  'a'.repeat(256),
  'a%2541',
  'a:b',
  'a@b',
  '*',
  '~',
];

/** Names with an empty component. */
const emptyNames: readonly string[] = ['a//b', '/a', 'a/', ''];

const badTags = ['.', '..', '%2e%2e', '-a', '.a', 'a%2fb', 'a%00', '%C3%A4', 'a'.repeat(129), 'a%20', 'a+b'];

const hex = digest.slice('sha256:'.length);
const badDigests = [
  'sha256:',
  `sha256:${hex.slice(1)}`,
  `sha256:${hex}0`,
  `sha256:${hex.toUpperCase()}`,
  `SHA256:${hex}`,
  `sha256:${'g'.repeat(64)}`,
  `sha256:..%2f..%2f${hex.slice(10)}`,
  `sha256:%2e%2e`,
  `sha256:${hex}%00`,
  `sha256:${hex}%0a`,
  `sha256:sha256:${hex}`,
  `md5:${'a'.repeat(32)}`,
  `sha384:${'a'.repeat(96)}`,
  `sha512:${'a'.repeat(127)}`,
  `sha512:${hex}`,
  `sha256:${'a'.repeat(3000)}`,
];

describe('hostile input', () => {
  const { ways, refuses, planes } = hostileInput();

  for (const [kind, askFor] of Object.entries(routes)) {
    for (const bad of badNames)
      refuses(`refuses the name ${JSON.stringify(bad.slice(0, 30))} (${kind})`, askFor(bad), {
        ...nameInvalid,
        // What the gateway has decoded has other segments.
        ...(bad.includes('%2f') && noEndpoint),
      });
    for (const bad of emptyNames)
      refuses(`finds no endpoint at the name ${JSON.stringify(bad)} (${kind})`, askFor(bad), {
        ...nameInvalid,
        ...noEndpoint,
      });
  }

  for (const bad of badTags)
    for (const method of ['GET', 'PUT', 'DELETE'])
      refuses(
        `refuses to ${method} the tag ${JSON.stringify(bad.slice(0, 30))}`,
        { method, path: `/v2/${name}/manifests/${bad}`, ...(method === 'PUT' && { body: bytes }) },
        { ...tagInvalid, ...(bad.includes('%2f') && noEndpoint) },
      );

  for (const bad of badDigests) {
    const short = JSON.stringify(bad.slice(0, 30));
    const path = `/v2/${name}/blobs`;
    const orNoEndpoint = { ...digestInvalid, ...(bad.includes('%2f') && noEndpoint) };
    refuses(`refuses to GET the blob ${short}`, { method: 'GET', path: `${path}/${bad}` }, orNoEndpoint);
    refuses(
      `refuses to DELETE the blob ${short}`,
      { method: 'DELETE', path: `${path}/${bad}` },
      orNoEndpoint,
    );
    refuses(
      `refuses to GET the manifest ${short}`,
      { method: 'GET', path: `/v2/${name}/manifests/${bad}` },
      orNoEndpoint,
    );
    refuses(
      `refuses to take ${short} in one request`,
      { method: 'POST', path: `${path}/uploads/?digest=${bad}`, body: bytes },
      digestInvalid,
    );
  }

  for (const [way, client] of ways)
    it(`starts an upload if the digest to mount is invalid, through ${way}`, async () => {
      const path = `/v2/${name}/blobs/uploads/`;
      for (const bad of badDigests)
        for (const query of [`mount=${bad}&from=${name}`, `mount=${digest}&from=${bad}`])
          await client().must(202, { method: 'POST', path: `${path}?${query}` });
    });

  const other = digestOf(Buffer.from('other'));
  for (const [query, refusal] of [
    [`digest=${digest}&digest=${other}`, digestInvalid],
    [`digest=${other}`, digestInvalid],
    ['digest=', digestInvalid],
  ] as [string, Refusal][])
    refuses(
      `refuses an upload with ?${query.replaceAll(hex, '…').slice(0, 60)}`,
      { method: 'POST', path: `/v2/${name}/blobs/uploads/?${query}`, body: bytes },
      refusal,
    );

  for (const list of ['/v2/_catalog', `/v2/${name}/tags/list`]) {
    for (const n of ['-1', 'abc', '', '1e9', '1.5', '0x10', '%00', '1&n=2', '9'.repeat(30), '%F0%9F%92%A3'])
      refuses(
        `refuses n=${n.slice(0, 12)} at ${list}`,
        { method: 'GET', path: `${list}?n=${n}` },
        {
          400: 'PAGINATION_NUMBER_INVALID',
        },
      );
    refuses(
      `refuses two values of last at ${list}`,
      { method: 'GET', path: `${list}?last=a&last=b` },
      {
        400: 'UNSUPPORTED',
      },
    );
    for (const last of ['..', '%2e%2e%2f', '%00', '%C3%84', '%ff', 'a'.repeat(5000), '-'])
      refuses(
        `refuses last=${last.slice(0, 12)} at ${list}`,
        { method: 'GET', path: `${list}?last=${last}` },
        list === '/v2/_catalog' ? nameInvalid : tagInvalid,
      );
  }

  for (const path of [
    '/v1/',
    '/v2/_catalog/',
    '/v2/team',
    '/v2/team/app/blobs',
    '/v2/team/app/tags',
    '/v2/../etc/passwd',
    '/v2/%2e%2e/%2e%2e/etc/passwd',
    '/%76%32/../x',
  ])
    refuses(`answers 404 at ${path}`, { method: 'GET', path }, noEndpoint);

  /** Spellings of a path that a proxy comparing raw paths would treat as different. */
  const spellings: readonly ((path: string) => string)[] = [
    (path) => path.replace(name, name.replace('/', '%2F')),
    (path) => path.replace(name, name.replace('/', '%2f')),
    (path) => path.replace(name, name.replace('/', '%252F')),
    (path) => path.replace(name, name.replace('/', '%5C')),
    (path) => path.replace(name, name.replace('/', '%c0%af')),
    (path) => path.replace(name, name.replace('/', '//')),
    (path) => path.replace(name, name.replace('/', '/./')),
    (path) => path.replace(name, `other/../${name}`),
    (path) => path.replace(name, `other/..;/${name}`),
    (path) => path.replace(name, `other/%2e%2e/${name}`),
    (path) => path.replace(name, '%74eam/app'),
    (path) => path.replace(name, 'team/%61pp'),
    (path) => path.replace('/v2/', '/%76%32/'),
    (path) => path.replace('/v2/', '/v%32/'),
    (path) => path.replace('/v2/', '/./v2/'),
    (path) => path.replace('/v2/', '/v2%2F'),
    (path) => path.replace('/v2/', '/V2/'),
    (path) => path.replace('/blobs/', '/bl%6Fbs/'),
    (path) => path.replace('/manifests/', '/manifests%2F'),
    (path) => path.replace('/there', '/th%65re'),
    (path) => path.replace('/list', '/lis%74'),
    (path) => path.replace('sha256:', 'sha256%253A'),
    (path) => path.replace(hex, `%${Buffer.from(hex.slice(0, 1)).toString('hex')}${hex.slice(1)}`),
  ];
  const assertUnknown = ({ status, body, url }: Reply) => {
    assert.ok(status === 400 || status === 404, `${url}: ${status}`);
    assert.match(body.toString(), /^\{"errors":\[\{"code":"(?:UNSUPPORTED|(?:NAME|TAG|DIGEST)_INVALID)",/);
  };
  const respelled = (path: string) =>
    [...new Set(spellings.map((spell) => spell(path)))].filter((spelling) => spelling !== path);
  for (const path of [`/v2/${name}/manifests/there`, `/v2/${name}/tags/list`, `/v2/${name}/blobs/${digest}`])
    for (const other of respelled(path))
      it(`refuses another spelling of a path: ${other.replace(hex.slice(1), '…')}`, async () => {
        assertUnknown(await new Client(planes().server).send({ method: 'GET', path: other }));
      });

  it('accepts one spelling of a signed URL of the data plane, except for the colon', async () => {
    const bytes = randomBytes(10);
    const blob = await new Client(planes().server).pushBlob(name, bytes);
    const found = await new Client(planes().gateway).must(307, {
      method: 'GET',
      path: `/v2/${name}/blobs/${blob}`,
    });
    const { pathname, search } = new URL(found.headers.location ?? '');
    const dataPlane = new Client(planes().dataPlane);
    for (const path of [pathname, pathname.replace(':', '%3A')])
      assert.ok((await dataPlane.must(200, { method: 'GET', path: path + search })).body.equals(bytes));
    for (const other of respelled(pathname))
      assertUnknown(await dataPlane.send({ method: 'GET', path: other + search }));
  });
});
