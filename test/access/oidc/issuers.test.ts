import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import { issuerKey, json, startIssuer, type Issuer } from '../../servers/issuer.ts';
import { audience, identities, trustIssuers, verifying, type Verifying } from './jobs.ts';

const discoveryPath = '/.well-known/openid-configuration';

describe('the keys of an OIDC issuer', () => {
  let issuer: Issuer;
  /** Where tokens are verified. */
  let ours: Verifying;

  before(trustIssuers);

  beforeEach(async () => {
    issuer = await startIssuer();
    ours = verifying();
  });

  afterEach(async () => {
    await issuer.stop();
  });

  const token = async (...[claims, options]: Partial<Parameters<Issuer['token']>>) =>
    await issuer.token({ aud: audience, project: 'app', ...claims }, options);

  const verify = async (text: string) => await ours.verifier.verify(text, identities(issuer.url));

  const unauthorized = { failure: 'UNAUTHORIZED' };
  const unavailable = { failure: 'UNAVAILABLE' };

  it('are those of its discovery document, and are read once', async () => {
    assert.equal((await verify(await token()))['project'], 'app');
    ours.pass(9 * 60);
    await verify(await token({ exp: Math.floor(Date.now() / 1000) + 3600 }));
    assert.deepEqual(issuer.asked, [discoveryPath, '/keys']);
  });

  it('are read once for many jobs that log in at the same time', async () => {
    const one = await token();
    await Promise.all(Array.from({ length: 200 }, async () => await verify(one)));
    assert.deepEqual(issuer.asked, [discoveryPath, '/keys']);
  });

  it('are read again after ten minutes', async () => {
    await verify(await token());
    ours.pass(10 * 60);
    await verify(await token({ exp: Math.floor(Date.now() / 1000) + 3600 }));
    assert.equal(issuer.asked.length, 4);
  });

  it('are those of an issuer whose URL has a path', async () => {
    const cluster = await startIssuer('/id/0A1B2C');
    const job = await cluster.token({ aud: [audience], project: 'app' });
    assert.equal((await ours.verifier.verify(job, identities(cluster.url))).iss, cluster.url);
    assert.deepEqual(cluster.asked, [`/id/0A1B2C${discoveryPath}`, '/id/0A1B2C/keys']);
    await cluster.stop();
  });

  it('are read again for a key that is new, and at most every 30 s', async () => {
    await verify(await token());
    const second = await issuerKey('second');
    issuer.keys = [second];
    const job = await token({}, { key: second });
    await assert.rejects(verify(job), /does not publish.* try again in 30 s/);
    ours.pass(31);
    await verify(job);
    const foreign = await token({}, { key: await issuerKey('foreign') });
    for (let attempt = 0; attempt < 20; attempt++) {
      await assert.rejects(verify(foreign), unauthorized);
      ours.pass(3);
    }
    // Twice for the keys that were right, then in 60 s for the foreign one.
    assert.ok(issuer.asked.length / 2 >= 3 && issuer.asked.length / 2 <= 4, `${issuer.asked.length}`);
  });

  it('that were withdrawn are not accepted after ten minutes', async () => {
    const job = await token({ exp: Math.floor(Date.now() / 1000) + 3600 });
    await verify(job);
    issuer.keys = [await issuerKey('second')];
    ours.pass(10 * 60);
    await assert.rejects(verify(job), unauthorized);
  });

  it('are kept for a day while it is down, which is said every 30 s at most', async () => {
    const hours = (count: number) => ({ exp: Math.floor(Date.now() / 1000) + count * 3600 });
    await verify(await token());
    issuer.discoveryAnswer = (_, response) => response.writeHead(500).end();
    const job = await token(hours(48));
    ours.pass(11 * 60);
    for (let attempt = 0; attempt < 10; attempt++) await verify(job);
    assert.equal(ours.warnings.length, 1);
    assert.match(
      ours.warnings[0] ?? '',
      /cannot be read, so those read before are used: .* its status is 500$/,
    );
    ours.pass(12 * 3600);
    await verify(job);
    ours.pass(12 * 3600);
    await assert.rejects(verify(job), unavailable);
    issuer.discoveryAnswer = undefined;
    ours.pass(30);
    await verify(job);
  });

  it('are asked for again 30 s after a failure, and not at each login', async () => {
    issuer.discoveryAnswer = (_, response) => response.writeHead(503).end();
    const job = await token();
    for (let attempt = 0; attempt < 20; attempt++) await assert.rejects(verify(job), unavailable);
    assert.equal(issuer.asked.length, 1);
    assert.equal(ours.warnings.length, 1);
    issuer.discoveryAnswer = undefined;
    ours.pass(30);
    await verify(job);
  });

  it('are read again where the clock was set back', async () => {
    await verify(await token());
    ours.pass(-7200);
    const now = Math.floor(Date.now() / 1000) - 7200;
    await verify(await token({ iat: now, nbf: now, exp: now + 600 }));
    assert.equal(issuer.asked.length, 4);
  });

  it('are found among others, whatever is wrong with those', async () => {
    const [first] = issuer.keys;
    const others = [
      { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' },
      { kty: 'unknown', kid: 'unknown' },
      { kid: 'first' },
      { kty: 'RSA', kid: 'short', alg: 'RS256', n: 'AQAB', e: 'AQAB' },
      { kty: 'RSA', kid: 'broken', alg: 'RS256', n: 1, e: null },
    ];
    issuer.keysAnswer = json({ keys: [...others, first?.published] });
    await verify(await token());
    for (const kid of ['secret', 'unknown', 'short', 'broken'])
      await assert.rejects(verify(await token({}, { header: { kid } })), unauthorized, kid);
  });

  for (const [what, misbehave, says] of [
    [
      'names another issuer',
      () => (issuer.discovery = { issuer: 'https://issuer.example.com' }),
      /names another issuer/,
    ],
    [
      'names its issuer with one more slash',
      () => (issuer.discovery = { issuer: `${issuer.url}/` }),
      /names another issuer/,
    ],
    ['names no keys', () => (issuer.discovery = { jwks_uri: undefined }), /has no jwks_uri/],
    [
      'has its keys on http',
      () => (issuer.discovery = { jwks_uri: issuer.url.replace('https', 'http') + '/keys' }),
      /is no https URL/,
    ],
    [
      'has its keys in a file',
      () => (issuer.discovery = { jwks_uri: 'file:///etc/passwd' }),
      /is no https URL/,
    ],
    [
      'redirects',
      () => {
        issuer.discoveryAnswer = (_, response) =>
          response.writeHead(302, { location: `${issuer.url}/elsewhere` }).end();
      },
      /redirect/,
    ],
    [
      'redirects to its keys',
      () => {
        issuer.keysAnswer = (_, response) =>
          response.writeHead(307, { location: `${issuer.url}/elsewhere` }).end();
      },
      /redirect/,
    ],
    [
      'sends 10 MB',
      () => {
        issuer.keysAnswer = json({ keys: [], more: 'x'.repeat(10_000_000) });
      },
      /more than 262144 bytes/,
    ],
    [
      'sends no JSON',
      () => {
        issuer.discoveryAnswer = (_, response) => response.end('<html>hello</html>');
      },
      /is no JSON object/,
    ],
    [
      'sends a list',
      () => {
        issuer.discoveryAnswer = json([]);
      },
      /is no JSON object/,
    ],
    [
      'sends keys that are none',
      () => {
        issuer.keysAnswer = json({ keys: ['key'] });
      },
      /is no key set/,
    ],
    [
      'sends 101 keys',
      () => {
        issuer.keysAnswer = json({ keys: Array.from({ length: 101 }, () => ({ kty: 'RSA' })) });
      },
      /more than 100 keys/,
    ],
    [
      'hangs up',
      () => {
        issuer.discoveryAnswer = (request) => request.socket.destroy();
      },
      /cannot be read/,
    ],
  ] as const)
    it(`are none where it ${what}, which is answered with 503 and logged`, async () => {
      misbehave();
      await assert.rejects(verify(await token()), {
        ...unavailable,
        message: `the keys of ${issuer.url} cannot be read; try again`,
      });
      assert.match(ours.warnings.join('\n'), says);
      assert.match(ours.warnings.join('\n'), /so its jobs cannot log in/);
      assert.ok(!issuer.asked.includes('/elsewhere'));
    });

  it('that are longer than 256 KiB when they are unpacked are none', async () => {
    const bytes = gzipSync(JSON.stringify({ keys: [], more: 'x'.repeat(50_000_000) }));
    issuer.keysAnswer = (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes);
    await assert.rejects(verify(await token()), unavailable);
    assert.match(ours.warnings.join('\n'), /more than 262144 bytes/);
  });

  for (const [what, answer] of [
    ['says nothing', () => undefined],
    [
      'sends byte after byte',
      (response: ServerResponse) => {
        const timer = setInterval(() => response.write(' '), 50);
        response.once('close', () => {
          clearInterval(timer);
        });
      },
    ],
  ] as const)
    it(`are not waited for where it ${what}`, async () => {
      issuer.discoveryAnswer = (_, response) => {
        answer(response);
      };
      ours = verifying(300);
      await assert.rejects(verify(await token()), unavailable);
      assert.match(ours.warnings.join('\n'), /timeout/);
    });

  it('are none where it is not there', async () => {
    const job = await token();
    await issuer.stop();
    await assert.rejects(verify(job), unavailable);
    assert.match(ours.warnings.join('\n'), /ECONNREFUSED/);
    issuer = await startIssuer();
  });

  it('are none where its certificate is not for its name', async () => {
    // The certificate is for localhost and 127.0.0.1.
    const url = issuer.url.replace('localhost', '127.0.0.2');
    issuer.discovery = { issuer: url };
    const job = await token({ iss: url });
    await assert.rejects(ours.verifier.verify(job, identities(url)), unavailable);
  });

  it('are not read for issuers that the policy does not name', async () => {
    const stranger = await startIssuer();
    const job = await stranger.token({ aud: audience, project: 'app' });
    await assert.rejects(verify(job), { ...unauthorized, message: /no identity for the issuer/ });
    assert.deepEqual([...stranger.asked, ...issuer.asked], []);
    await stranger.stop();
  });

  it('are not read from a URL in a token', async () => {
    const traps: string[] = [];
    const trap = createServer((request, response) => {
      traps.push(request.url ?? '');
      json({ keys: [] })(request, response);
    });
    trap.listen(0, '127.0.0.1');
    await once(trap, 'listening');
    const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`;
    const forger = await issuerKey('forged');
    for (const header of [
      { jku: `${url}/jku` },
      { x5u: `${url}/x5u` },
      { jwk: forger.published },
      { kid: 'first', jwk: forger.published },
      { kid: 'first', x5c: ['MIIB'] },
      { kid: `${url}/kid` },
      { kid: '../../keys' },
    ])
      await assert.rejects(
        verify(await token({}, { key: forger, header })),
        unauthorized,
        JSON.stringify(header),
      );
    assert.deepEqual(traps, []);
    trap.close();
  });
});

describe('an OIDC issuer in a policy', () => {
  for (const url of [
    'http://localhost:8443',
    'http://token.actions.githubusercontent.com',
    'issuer.example.com',
    'https://user:x@issuer.example.com',
  ])
    it(`cannot be ${url}`, () => {
      assert.throws(
        () =>
          parsePolicy(`ci:\n  job: { issuer: '${url}', audience: a, claims: { project: app } }\nrules: []`),
        /not an https URL/,
      );
    });
});
