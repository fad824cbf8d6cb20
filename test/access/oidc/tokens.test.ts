import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { SignJWT, type JWTPayload } from 'jose';
import { ciIdentityOf } from '../../../lib/access/policy/claims.ts';
import { issuerKey, startIssuer, type Issuer } from '../../servers/issuer.ts';
import { audience, identities, trustIssuers, verifying } from './jobs.ts';

const unauthorized = { failure: 'UNAUTHORIZED' };

/** Seconds since 1970. */
const now = () => Math.floor(Date.now() / 1000);

describe('the OIDC token of a CI job', () => {
  let issuer: Issuer;
  const { verifier } = verifying();

  before(async () => {
    trustIssuers();
    issuer = await startIssuer();
  });

  after(async () => {
    await issuer.stop();
  });

  const right = { aud: audience, project: 'app' };

  const token = async (claims: JWTPayload = {}, options?: Parameters<Issuer['token']>[1]) =>
    await issuer.token({ ...right, ...claims }, options);

  const verify = async (text: string) => await verifier.verify(text, identities(issuer.url));

  it('is accepted with all claims, whose times are right', async () => {
    const claims = await verify(await token({ project: 'app', nested: { a: 1 } }));
    assert.deepEqual([claims['project'], claims['nested']], ['app', { a: 1 }]);
  });

  it('is accepted where the audience is one of several', async () => {
    await verify(await token({ aud: ['https://github.com/acme', audience] }));
  });

  it('is accepted from an issuer whose clock is a minute ahead', async () => {
    await verify(await token({ iat: now() + 50, nbf: now() + 50 }));
    await assert.rejects(verify(await token({ nbf: now() + 90 })), { ...unauthorized, message: /wrong nbf/ });
  });

  for (const [what, claims, message] of [
    [
      'another audience',
      { aud: 'https://github.com/acme' },
      /another audience; ask for the one that the policy/,
    ],
    ['no audience', { aud: undefined }, /another audience/],
    ['an empty list of audiences', { aud: [] }, /another audience/],
    ['an audience that begins with the right one', { aud: `${audience}.evil.example` }, /another audience/],
    ['no end', { exp: undefined }, /wrong exp/],
    ['an end that is text', { exp: '9999999999' }, /wrong exp/],
    ['no beginning', { iat: undefined }, /wrong iat/],
    ['an end long ago', { exp: now() - 3600 }, /has expired; get another one/],
    // Within the minute that issuers' clocks may be ahead.
    ['an end a second ago', { exp: now() - 1 }, /has expired/],
    ['an end half a minute ago', { exp: now() - 30 }, /has expired/],
    ['no issuer', { iss: undefined }, /must be the OIDC token of a job/],
    ['an issuer with another case', { iss: 'https://LOCALHOST' }, /no identity for the issuer/],
  ] as const)
    it(`is refused with ${what}`, async () => {
      await assert.rejects(verify(await token(claims as JWTPayload)), { ...unauthorized, message });
    });

  it('is refused when it has expired meanwhile', async () => {
    const clock = verifying();
    const job = await token({ exp: now() + 600 });
    clock.pass(590);
    await clock.verifier.verify(job, identities(issuer.url));
    clock.pass(10);
    await assert.rejects(clock.verifier.verify(job, identities(issuer.url)), /has expired/);
  });

  it('is refused where its signature is that of another key', async () => {
    const key = await issuerKey('first');
    await assert.rejects(verify(await token({}, { key })), { ...unauthorized, message: /is not valid/ });
  });

  it('is refused where its claims were changed', async () => {
    const [head, , signature] = (await token()).split('.');
    const claims = { iss: issuer.url, ...right, iat: now(), exp: now() + 600, project: 'other' };
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    await assert.rejects(verify(`${head}.${body}.${signature}`), unauthorized);
  });

  it('is refused without a signature, whatever alg=none is called', async () => {
    const claims = { iss: issuer.url, ...right, iat: now(), exp: now() + 600 };
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const alg of ['none', 'None', 'NONE', '', undefined])
      for (const signature of ['', 'x'])
        await assert.rejects(
          verify(`${encode({ alg, kid: 'first' })}.${encode(claims)}.${signature}`),
          unauthorized,
        );
  });

  it('is refused with HS256 and the public key as the secret', async () => {
    const [key] = issuer.keys;
    assert.ok(key);
    const pem = createPublicKey({ key: key.published, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    for (const secret of [Buffer.from(pem), Buffer.from(JSON.stringify(key.published))]) {
      const forged = await new SignJWT({ iss: issuer.url, ...right })
        .setProtectedHeader({ alg: 'HS256', kid: 'first' })
        .setIssuedAt()
        .setExpirationTime('10m')
        .sign(secret);
      await assert.rejects(verify(forged), unauthorized);
    }
  });

  it('is accepted with each asymmetric algorithm', async () => {
    const before = issuer.keys;
    const algorithms = ['RS256', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];
    issuer.keys = await Promise.all(algorithms.map(async (alg) => await issuerKey(alg, alg)));
    const fresh = verifying().verifier;
    for (const key of issuer.keys) await fresh.verify(await token({}, { key }), identities(issuer.url));
    issuer.keys = before;
  });

  for (const text of ['', 'x', 'a.b.c', '..', 'eyJhbGciOiJub25lIn0.e30.', 'x'.repeat(20_000), 'not a token'])
    it(`is not ${JSON.stringify(text.slice(0, 30))}`, async () => {
      await assert.rejects(verify(text), unauthorized);
    });

  it('is refused when it is longer than 16 KiB', async () => {
    await assert.rejects(verify(await token({ more: 'x'.repeat(16_000) })), unauthorized);
  });

  it('is in no message', async () => {
    for (const claims of [{ aud: 'another' }, { exp: now() - 1 }, { nbf: now() + 900 }]) {
      const job = await token(claims);
      const error = (await verify(job).catch((reason: unknown) => reason)) as Error;
      for (const part of job.split('.'))
        assert.ok(!JSON.stringify([error.message, (error as { errors?: unknown }).errors]).includes(part));
    }
  });
});

/** As GitHub makes them for a repository that was made after July 2026. */
const github = {
  sub: 'repo:acme@1001/app@123456:ref:refs/heads/main',
  repository: 'acme/app',
  repository_id: '123456',
  repository_owner: 'acme',
  repository_owner_id: '1001',
  ref: 'refs/heads/main',
  ref_type: 'branch',
  ref_protected: 'true',
  environment: 'production',
  event_name: 'push',
  job_workflow_ref: 'acme/app/.github/workflows/release.yml@refs/heads/main',
  run_id: '99',
};

const gitlab = {
  sub: 'project_path:acme/app:ref_type:branch:ref:main',
  project_id: '22',
  project_path: 'acme/app',
  namespace_id: '7',
  namespace_path: 'acme',
  ref: 'main',
  ref_type: 'branch',
  ref_protected: 'true',
  environment: 'production',
};

const kubernetes = {
  sub: 'system:serviceaccount:ci:builder',
  'kubernetes.io': {
    namespace: 'ci',
    pod: { name: 'build-1', uid: 'c1d2' },
    serviceaccount: { name: 'builder', uid: 'a1b2' },
  },
};

describe('the claims of a CI job', () => {
  let issuer: Issuer;
  const { verifier } = verifying();

  before(async () => {
    trustIssuers();
    issuer = await startIssuer();
  });

  after(async () => {
    await issuer.stop();
  });

  /** The name that a policy gives to a job with these claims. */
  const nameOf = async (claims: JWTPayload, claimsOf: Parameters<typeof identities>[1]) => {
    const known = identities(issuer.url, claimsOf);
    return ciIdentityOf(known, await verifier.verify(await issuer.token({ aud: audience, ...claims }), known))
      ?.name;
  };

  for (const [what, claims, wanted, others] of [
    [
      'GitHub Actions',
      github,
      { repository_id: '123456', ref: 'refs/heads/main', environment: ['production', 'staging'] },
      {
        'another repository': { repository_id: '1234567' },
        'another branch': { ref: 'refs/heads/main2' },
        'a tag of the same name': { ref: 'refs/tags/main' },
        'another environment': { environment: 'Production' },
        'no environment': { environment: undefined },
        'a list of branches without it': { ref: ['refs/heads/other'] },
        'a branch that is an object': { ref: { 'refs/heads/main': true } },
      },
    ],
    [
      'GitHub Actions, by patterns',
      github,
      {
        repository_owner_id: '1001',
        ref: 'refs/tags/v*',
        job_workflow_ref: 'acme/app/.github/workflows/*@refs/tags/*',
      },
      { 'a branch': {}, 'a tag with a slash': { ref: 'refs/tags/v1/x' } },
    ],
    [
      'GitLab',
      gitlab,
      { project_id: '22', ref: 'main', ref_protected: 'true' },
      {
        'a fork': { project_id: '23' },
        'a branch that is not protected': { ref_protected: 'false' },
        'a number that only begins with it': { project_id: '220' },
      },
    ],
    [
      'a Kubernetes service account',
      kubernetes,
      { 'kubernetes.io': { namespace: 'ci', serviceaccount: { name: 'builder' } } },
      {
        'another account': {
          'kubernetes.io': { namespace: 'ci', serviceaccount: { name: 'other' } },
        },
        'another namespace': {
          'kubernetes.io': { namespace: 'default', serviceaccount: { name: 'builder' } },
        },
        'none of an account': { 'kubernetes.io': { namespace: 'ci' } },
        'no claims of Kubernetes': { 'kubernetes.io': undefined },
        'text in the place of claims': { 'kubernetes.io': 'ci' },
      },
    ],
  ] as const)
    it(`name it where they match, as those of ${what}`, async () => {
      const match = what.endsWith('patterns')
        ? {
            ...claims,
            ref: 'refs/tags/v1.2',
            job_workflow_ref: 'acme/app/.github/workflows/release.yml@refs/tags/v1.2',
          }
        : claims;
      assert.equal(await nameOf(match, { job: wanted }), 'job');
      for (const [other, changed] of Object.entries(others))
        assert.equal(
          await nameOf({ ...claims, ...(changed as JWTPayload) }, { job: wanted }),
          undefined,
          other,
        );
    });

  it('give it the name of the first identity that they match', async () => {
    const both = { release: { project: 'app', ref: 'v*' }, build: { project: 'app' } };
    assert.equal(await nameOf({ project: 'app', ref: 'v1' }, both), 'release');
    assert.equal(await nameOf({ project: 'app', ref: 'main' }, both), 'build');
  });

  it('are compared as they are written, where they are numbers or truth values', async () => {
    const wanted = { job: { project_id: '22', protected: 'true' } };
    assert.equal(await nameOf({ project_id: 22, protected: true }, wanted), 'job');
    assert.equal(await nameOf({ project_id: 23, protected: true }, wanted), undefined);
  });

  it('are not looked for in what every object has', async () => {
    assert.equal(await nameOf({}, { job: { constructor: { name: 'Object' } } }), undefined);
  });

  it('count for the audience of their identity alone', async () => {
    const [one, other] = ['one.example.com', 'two.example.com'].map((name) => ({
      ...identities(issuer.url)[0],
      name,
      audience: name,
    })) as unknown as ReturnType<typeof identities>;
    assert.ok(one && other);
    const job = async (aud: string) =>
      ciIdentityOf(
        [one, other],
        await verifier.verify(await issuer.token({ aud, project: 'app' }), [one, other]),
      );
    assert.equal((await job('two.example.com'))?.name, 'two.example.com');
    assert.equal((await job('one.example.com'))?.name, 'one.example.com');
  });
});
