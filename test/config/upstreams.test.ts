import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import type { UpstreamConfig } from '../../lib/config/upstreams.ts';
import { faultsOf } from './faults.ts';

const setting = 'REGISTRY_PROXY_UPSTREAMS';
const remote = 'REGISTRY_PROXY_REMOTEURL';
const hub = '{prefix: docker-hub/**, url: "https://registry-1.docker.io/"}';

function read(environment: Record<string, string>): readonly UpstreamConfig[] {
  return loadConfig('server', environment).upstreams;
}

describe('the settings of upstreams', () => {
  it('name none by default', () => {
    assert.deepEqual(read({}), []);
  });

  it('a prefix and a URL are enough', () => {
    assert.deepEqual(read({ [setting]: `[${hub}]` }), [
      {
        prefix: 'docker-hub/',
        url: 'https://registry-1.docker.io',
        stripPrefix: true,
        credentials: undefined,
        repositories: [],
        platforms: [],
        freshnessMs: 600_000,
        ttlMs: undefined,
        namespace: 'docker.io',
        privateAddresses: false,
        setting: 'privateaddresses: true in the entry of docker-hub/**',
      },
    ]);
  });

  it('take all that an upstream may have, also from indexed variables', () => {
    const expected = {
      prefix: 'mirrors/inner/',
      url: 'http://registry.internal:5000',
      stripPrefix: false,
      credentials: { user: 'robot', password: '12345' },
      repositories: ['team/**', 'tools'],
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64' },
      ],
      freshnessMs: 60_000,
      ttlMs: undefined,
      namespace: 'registry.example.com',
      privateAddresses: true,
      setting: 'privateaddresses: true in the entry of mirrors/inner/**',
    };
    const list =
      `[{prefix: mirrors/inner/**, url: "http://registry.internal:5000", insecure: true, stripprefix: false, username: robot,
      password: 12345, repositories: [team/**, tools], platforms: [linux/amd64, linux/arm64], freshness: 1m,
      ns: registry.example.com, privateaddresses: true}]`.replaceAll(/\s+/g, ' ');
    assert.deepEqual(read({ [setting]: list }), [expected]);
    const indexed = {
      PREFIX: 'mirrors/inner/**',
      URL: 'http://registry.internal:5000',
      INSECURE: 'true',
      STRIPPREFIX: 'false',
      USERNAME: 'robot',
      PASSWORD: '12345',
      REPOSITORIES: '[team/**, tools]',
      PLATFORMS: '[linux/amd64, linux/arm64]',
      FRESHNESS: '1m',
      NS: 'registry.example.com',
      PRIVATEADDRESSES: 'true',
    };
    const variables = Object.entries(indexed).map(([name, value]) => [`${setting}_0_${name}`, value]);
    assert.deepEqual(read(Object.fromEntries(variables) as Record<string, string>), [expected]);
  });

  it("distribution's names make the whole registry a cache", () => {
    const whole = read({ [remote]: 'https://registry.example.com' });
    assert.deepEqual(
      whole.map(({ prefix, ttlMs, credentials }) => ({ prefix, ttlMs, credentials })),
      [{ prefix: '', ttlMs: 168 * 3_600_000, credentials: undefined }],
    );
    const [other] = read({
      [remote]: 'https://registry.example.com',
      REGISTRY_PROXY_USERNAME: 'robot',
      REGISTRY_PROXY_PASSWORD: 'secret of a test',
      REGISTRY_PROXY_TTL: '0',
    });
    assert.deepEqual(other?.credentials, { user: 'robot', password: 'secret of a test' });
    assert.equal(other.ttlMs, undefined);
  });

  it('take a password by the prefix, whatever the order of the list', () => {
    const other = '{prefix: docker/**, url: "https://a.b", username: a}';
    const environment = {
      REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PASSWORD: 'secret of a test',
      REGISTRY_PROXY_UPSTREAMS_DOCKER_PASSWORD: 'another one',
    };
    for (const list of [
      [hub.replace('}', ', username: robot}'), other],
      [other, hub.replace('}', ', username: robot}')],
    ]) {
      const upstreams = read({ [setting]: `[${list.join(', ')}]`, ...environment });
      const passwords = upstreams.map(({ prefix, credentials }) => [prefix, credentials?.password]);
      assert.deepEqual(Object.fromEntries(passwords), {
        'docker-hub/': 'secret of a test',
        'docker/': 'another one',
      });
    }
  });

  it('need a function that copies, or a data plane, in functions alone', () => {
    const settings = {
      REGISTRY_STORAGE: 's3',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
      REGISTRY_HTTP_SECRET: 'the secret of a test, which is long',
      [setting]: `[${hub}]`,
    };
    const copy = 'REGISTRY_PROXY_COPYFUNCTION';
    assert.match(faultsOf(settings, 'functions').join('\n'), /^REGISTRY_PROXY_COPYFUNCTION: missing/);
    for (const more of [
      { [copy]: 'stowage-dev-copy' },
      { [copy]: 'arn:aws:lambda:eu-central-1:123456789012:function:stowage-dev-copy' },
      { REGISTRY_HTTP_DATAPLANE: 'https://a.example.com' },
    ])
      assert.deepEqual(faultsOf({ ...settings, ...more }, 'functions'), []);
    for (const wrong of ['a function', 'https://a.b/c', 'arn:aws:sqs:eu-central-1:123456789012:copy'])
      assert.match(faultsOf({ ...settings, [copy]: wrong }, 'functions').join(), /must be the name or ARN/);
    assert.match(faultsOf({ [setting]: `[${hub}]`, [copy]: 'copy' }).join(), /only functions need it/);
  });

  const faults: readonly [string, Record<string, string>, readonly RegExp[]][] = [
    ['no list', { [setting]: 'docker-hub' }, [/not a list of upstreams/]],
    [
      'a prefix without a pattern',
      { [setting]: '[{prefix: hub, url: "https://a.b"}]' },
      [/prefix must be one such as/],
    ],
    [
      'plain HTTP',
      { [setting]: '[{prefix: a/**, url: "http://a.b"}]' },
      [/must begin with https:\/\/.*insecure: true/],
    ],
    [
      'a password in the URL',
      { [setting]: '[{prefix: a/**, url: "https://u:hunter2@a.b"}]' },
      [/must have no user/],
    ],
    ['a path', { [setting]: '[{prefix: a/**, url: "https://a.b/v2/"}]' }, [/must have no path/]],
    [
      'half of the credentials',
      { [setting]: '[{prefix: a/**, url: "https://a.b", username: u}]' },
      [/username and password/],
    ],
    [
      'an unknown field',
      { [setting]: '[{prefix: a/**, url: "https://a.b", mirror: 1}]' },
      [/there is no mirror/],
    ],
    [
      'a platform without an architecture',
      { [setting]: '[{prefix: a/**, url: "https://a.b", platforms: linux}]' },
      [/platforms such as linux\/amd64/],
    ],
    [
      'the same prefix twice',
      { [setting]: `[${hub}, {prefix: docker-hub/**, url: "https://a.b"}]` },
      [/the prefix docker-hub\/\*\*/],
    ],
    [
      'the same host twice',
      { [setting]: `[${hub}, {prefix: other/**, url: "https://registry-1.docker.io"}]` },
      [/the ns docker\.io/],
    ],
    ['both forms', { [setting]: `[${hub}]`, [remote]: 'https://a.b' }, [/the whole registry is a cache/]],
    ['a remote URL without TLS', { [remote]: 'http://a.b' }, [/REGISTRY_PROXY_INSECURE=true/]],
    [
      'a user without a password',
      { [remote]: 'https://a.b', REGISTRY_PROXY_USERNAME: 'u' },
      [/^REGISTRY_PROXY_PASSWORD: missing/],
    ],
    ['what needs a remote URL', { REGISTRY_PROXY_TTL: '1h' }, [/no effect without REGISTRY_PROXY_REMOTEURL/]],
    [
      'a cache that may not write',
      { [setting]: `[${hub}]`, REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' },
      [/a cache of other registries must write/],
    ],
  ];
  for (const [what, environment, expected] of faults)
    it(`refuse ${what}`, () => {
      const found = faultsOf(environment);
      assert.equal(found.length, expected.length, found.join('\n'));
      for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? '', pattern);
      assert.doesNotMatch(found.join('\n'), /hunter2/);
    });
});
