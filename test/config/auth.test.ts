import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

type Environment = Readonly<Record<string, string>>;

const secret = 'a'.repeat(32);
const functions = {
  REGISTRY_HTTP_SECRET: 'b'.repeat(32),
  REGISTRY_HTTP_DATAPLANE: 'https://data.example.com',
};
const inLambda = {
  ...functions,
  AWS_LAMBDA_FUNCTION_NAME: 'manifests',
  REGISTRY_STORAGE_S3_BUCKET: 'images',
  REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
};
const policy = { REGISTRY_AUTH: 'policy', REGISTRY_AUTH_POLICY_PATH: '/etc/stowage/policy.yaml' };

describe('REGISTRY_AUTH', () => {
  for (const address of ['127.0.0.1:5000', '127.3.2.1:80', 'localhost:5000', '[::1]:5000'])
    it(`may be missing at ${address}, which only this machine reaches`, () => {
      assert.deepEqual(faultsOf({ REGISTRY_HTTP_ADDR: address }), []);
      assert.deepEqual(loadConfig('server', { REGISTRY_HTTP_ADDR: address }).auth, { kind: 'none' });
    });

  for (const [address, line] of [
    [':5000', 'REGISTRY_AUTH=none REGISTRY_HTTP_ADDR=:5000 stowage serve'],
    ['0.0.0.0:80', 'REGISTRY_AUTH=none REGISTRY_HTTP_ADDR=0.0.0.0:80 stowage serve'],
    ['10.0.0.1:5000', 'REGISTRY_AUTH=none REGISTRY_HTTP_ADDR=10.0.0.1:5000 stowage serve'],
    ['[::]:5000', 'REGISTRY_AUTH=none REGISTRY_HTTP_ADDR=:5000 stowage serve'],
    ['registry.example.com:80', 'REGISTRY_HTTP_ADDR=registry.example.com:80 stowage serve'],
    ['127.0.0.1.example.com:80', 'stowage serve'],
  ] as const)
    it(`must be set at ${address}, and the refusal has the line that starts an open registry`, () => {
      const [fault = '', ...others] = faultsOf({ REGISTRY_HTTP_ADDR: address });
      assert.match(fault, /^REGISTRY_AUTH: missing/);
      assert.ok(fault.endsWith(line), fault);
      assert.deepEqual(others, []);
      assert.deepEqual(faultsOf({ REGISTRY_HTTP_ADDR: address, REGISTRY_AUTH: 'none' }), []);
    });

  it('must be set in Lambda, and not under serverless-offline', () => {
    assert.match(faultsOf(inLambda, 'functions').join(), /^REGISTRY_AUTH: missing.*REGISTRY_AUTH=none/);
    assert.deepEqual(faultsOf({ ...inLambda, REGISTRY_AUTH: 'none' }, 'functions'), []);
    assert.deepEqual(faultsOf({ ...inLambda, IS_OFFLINE: 'true' }, 'functions'), []);
  });

  it('is not asked of a data plane, whose URLs are signed', () => {
    const dataPlane = { REGISTRY_HTTP_SECRET: secret, REGISTRY_HTTP_HOST: 'https://r.example.com' };
    assert.deepEqual(faultsOf({ ...dataPlane, REGISTRY_HTTP_ADDR: ':5001' }, 'data-plane'), []);
  });

  it('refuses other values', () => {
    assert.match(faultsOf({ REGISTRY_AUTH: 'basic' }).join(), /^REGISTRY_AUTH: "basic" is not one of none, /);
    assert.match(faultsOf({ REGISTRY_AUTH: 'silly' }).join(), /^REGISTRY_AUTH: it lets everybody in/);
  });

  for (const [name, kind] of [
    ['REGISTRY_AUTH_HTPASSWD_PATH', 'htpasswd'],
    ['REGISTRY_AUTH_TOKEN_REALM', 'token'],
    ['REGISTRY_AUTH_POLICY_PATH', 'policy'],
  ] as const)
    it(`says that ${name} has no effect without REGISTRY_AUTH=${kind}`, () => {
      for (const others of [{}, { REGISTRY_AUTH: 'none' }])
        assert.match(
          faultsOf({ [name]: '/x', ...others }).join('\n'),
          new RegExp(`without REGISTRY_AUTH=${kind}`),
        );
    });
});

describe('REGISTRY_AUTH=htpasswd', () => {
  const of = (environment: Environment) =>
    loadConfig('server', { REGISTRY_AUTH: 'htpasswd', ...environment }).auth;

  it('reads a file, its content or the ARN of a secret', () => {
    assert.deepEqual(
      of({ REGISTRY_AUTH_HTPASSWD_PATH: '/etc/users', REGISTRY_AUTH_HTPASSWD_REALM: 'Team' }),
      {
        kind: 'htpasswd',
        realm: 'Team',
        source: { kind: 'file', path: '/etc/users' },
      },
    );
    assert.deepEqual(of({ REGISTRY_AUTH_HTPASSWD_CONTENT: 'a:b\nc:d\n' }), {
      kind: 'htpasswd',
      realm: 'Registry Realm',
      source: { kind: 'content', content: 'a:b\nc:d' },
    });
    const arn = 'arn:aws:secretsmanager:eu-central-1:1:secret:users-x';
    assert.deepEqual(of({ REGISTRY_AUTH_HTPASSWD_PATH: arn }), {
      kind: 'htpasswd',
      realm: 'Registry Realm',
      source: { kind: 'secret', arn },
    });
  });

  it('is refused without users, with two lists of them and with a realm that no header can carry', () => {
    const htpasswd = { REGISTRY_AUTH: 'htpasswd' };
    assert.match(faultsOf(htpasswd).join(), /^REGISTRY_AUTH_HTPASSWD_PATH: missing/);
    const two = { REGISTRY_AUTH_HTPASSWD_PATH: '/a', REGISTRY_AUTH_HTPASSWD_CONTENT: 'secret:line' };
    const faults = faultsOf({ ...htpasswd, ...two }).join();
    assert.match(faults, /^REGISTRY_AUTH_HTPASSWD_CONTENT: .*remove one/);
    assert.ok(!faults.includes('secret:line'));
    const quoted = { REGISTRY_AUTH_HTPASSWD_PATH: '/a', REGISTRY_AUTH_HTPASSWD_REALM: 'a"b' };
    assert.match(faultsOf({ ...htpasswd, ...quoted }).join(), /^REGISTRY_AUTH_HTPASSWD_REALM/);
  });
});

describe('REGISTRY_AUTH=token', () => {
  const token = {
    REGISTRY_AUTH: 'token',
    REGISTRY_AUTH_TOKEN_REALM: 'https://auth.example.com/token',
    REGISTRY_AUTH_TOKEN_SERVICE: 'registry.example.com',
    REGISTRY_AUTH_TOKEN_ISSUER: '123',
    REGISTRY_AUTH_TOKEN_JWKS: '/etc/jwks.json',
  };

  it('reads the settings of distribution, all as text', () => {
    assert.deepEqual(
      loadConfig('server', { ...token, REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS: '[ES256, RS256]' }).auth,
      {
        kind: 'token',
        realm: 'https://auth.example.com/token',
        service: 'registry.example.com',
        issuer: '123',
        rootCertBundle: undefined,
        jwks: '/etc/jwks.json',
        algorithms: ['ES256', 'RS256'],
        autoRedirect: false,
        autoRedirectPath: '/auth/token',
      },
    );
  });

  for (const name of ['REALM', 'SERVICE', 'ISSUER', 'JWKS'])
    it(`needs REGISTRY_AUTH_TOKEN_${name}`, () => {
      const faults = faultsOf({ ...token, [`REGISTRY_AUTH_TOKEN_${name}`]: '' });
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? '', new RegExp(`^REGISTRY_AUTH_TOKEN_${name}: missing`));
    });

  it('needs no realm with AUTOREDIRECT, and a certificate bundle in the place of a key set', () => {
    const others = {
      REGISTRY_AUTH_TOKEN_REALM: '',
      REGISTRY_AUTH_TOKEN_AUTOREDIRECT: 'true',
      REGISTRY_AUTH_TOKEN_JWKS: '',
      REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: '/etc/bundle.pem',
    };
    assert.deepEqual(faultsOf({ ...token, ...others }), []);
  });

  it('refuses an unknown algorithm', () => {
    const faults = faultsOf({ ...token, REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS: 'none' });
    assert.match(faults.join(), /^REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS: must be a list/);
  });
});

describe('REGISTRY_AUTH=policy', () => {
  it('derives its keys from REGISTRY_HTTP_SECRET in one process, and refuses a short one', () => {
    const { auth } = loadConfig('server', { ...policy, REGISTRY_HTTP_SECRET: secret });
    assert.deepEqual(auth, {
      kind: 'policy',
      policy: { kind: 'file', path: '/etc/stowage/policy.yaml' },
      service: undefined,
      htpasswd: undefined,
      secrets: [secret],
      publicKeys: [],
    });
    assert.match(
      faultsOf({ ...policy, REGISTRY_HTTP_SECRET: secret.slice(1) }).join(),
      /^REGISTRY_HTTP_SECRET: signs tokens, so it must have 32 characters/,
    );
  });

  it('needs a secret or public keys of its own in functions, so that only one of them can sign', () => {
    const lambda = { ...inLambda, ...policy };
    assert.match(faultsOf(lambda, 'functions').join(), /^REGISTRY_AUTH_POLICY_SECRET: missing/);
    for (const keys of [
      { REGISTRY_AUTH_POLICY_SECRET: secret },
      { REGISTRY_AUTH_POLICY_PUBLICKEYS: 'A'.repeat(43) },
    ])
      assert.deepEqual(faultsOf({ ...lambda, ...keys }, 'functions'), []);
    assert.match(
      faultsOf({ ...lambda, REGISTRY_AUTH_POLICY_SECRET: 'short' }, 'functions').join(),
      /^REGISTRY_AUTH_POLICY_SECRET: signs tokens/,
    );
    assert.match(
      faultsOf(
        { ...lambda, REGISTRY_AUTH_POLICY_SECRET: functions.REGISTRY_HTTP_SECRET },
        'functions',
      ).join(),
      /^REGISTRY_AUTH_POLICY_SECRET: must not be the REGISTRY_HTTP_SECRET/,
    );
    const previous = { REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: secret };
    assert.match(
      faultsOf({ ...policy, ...previous }).join(),
      /^REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: means nothing without/,
    );
    assert.match(
      faultsOf({ ...lambda, REGISTRY_AUTH_POLICY_PUBLICKEYS: 'x' }, 'functions').join(),
      /^REGISTRY_AUTH_POLICY_PUBLICKEYS: must be what stowage token keys prints/,
    );
  });

  it('reads the policy from a file or from the bucket, one of them and not where the images are', () => {
    const { REGISTRY_AUTH } = policy;
    const object = (key: string) => ({
      REGISTRY_AUTH,
      REGISTRY_AUTH_POLICY_OBJECT: key,
      REGISTRY_HTTP_SECRET: secret,
    });
    const { auth } = loadConfig('server', object('stowage/policy.yaml'));
    assert.deepEqual(auth.kind === 'policy' && auth.policy, { kind: 'object', key: 'stowage/policy.yaml' });
    const neither = faultsOf({ REGISTRY_HTTP_SECRET: secret, REGISTRY_AUTH }).join();
    assert.match(neither, /^REGISTRY_AUTH_POLICY_PATH: missing/);
    const both = faultsOf({ ...policy, ...object('a.yaml') }).join();
    assert.match(both, /^REGISTRY_AUTH_POLICY_OBJECT: .*remove one/);
    for (const key of ['docker/registry/v2/policy.yaml', '/policy.yaml', 'a//b'])
      assert.match(faultsOf(object(key)).join(), /^REGISTRY_AUTH_POLICY_OBJECT: /);
  });
});

describe('REGISTRY_HTTP_SECRET', () => {
  it('is missed with a warning where it would sign tokens', () => {
    assert.match(loadConfig('server', policy).warnings.join(), /^REGISTRY_HTTP_SECRET is not set, so logins/);
    const own = { ...policy, REGISTRY_AUTH_POLICY_SECRET: secret };
    assert.deepEqual(loadConfig('server', own).warnings, []);
  });

  it('gets a warning below 32 characters, and none at 32', () => {
    const warnings = (value: string) => loadConfig('server', { REGISTRY_HTTP_SECRET: value }).warnings;
    assert.match(warnings('hunter2').join(), /fewer than 32 characters/);
    assert.ok(!warnings('hunter2').join().includes('hunter2'));
    assert.deepEqual(warnings(secret), []);
  });
});

describe('REGISTRY_HTTP_HOST', () => {
  it('is missed with a warning by a policy at a public address, whose challenges name the token service', () => {
    const warnings = (more: Environment) =>
      loadConfig('server', { ...policy, REGISTRY_HTTP_SECRET: secret, REGISTRY_HTTP_ADDR: ':5000', ...more })
        .warnings;
    assert.match(warnings({}).join(), /^REGISTRY_HTTP_HOST is not set/);
    assert.deepEqual(warnings({ REGISTRY_HTTP_HOST: 'https://registry.example.com' }), []);
    assert.deepEqual(warnings({ REGISTRY_HTTP_ADDR: '127.0.0.1:5000' }), []);
  });
});

describe('REGISTRY_HTTP_CORS_ORIGINS', () => {
  it('is a list of origins, or * for all', () => {
    const { corsOrigins } = loadConfig('server', {
      REGISTRY_HTTP_CORS_ORIGINS: 'https://a.example, http://b:8080',
    });
    assert.deepEqual(corsOrigins, ['https://a.example', 'http://b:8080']);
    for (const wrong of ['a.example', 'https://a.example/', 'https://a.example/x'])
      assert.match(faultsOf({ REGISTRY_HTTP_CORS_ORIGINS: wrong }).join(), /^REGISTRY_HTTP_CORS_ORIGINS: /);
  });
});
