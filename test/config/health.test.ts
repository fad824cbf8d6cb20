import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '../../lib/config/config.ts';
import { readHealth, type HealthConfig } from '../../lib/config/health.ts';
import { Settings } from '../../lib/config/settings.ts';

function read(environment: Record<string, string>): HealthConfig {
  const settings = new Settings(environment);
  const health = readHealth(settings);
  settings.finish();
  return health;
}

function faultsOf(environment: Record<string, string>): string {
  try {
    read(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.join('\n');
    throw error;
  }
  return '';
}

describe('the settings of health checks', () => {
  it('probe the storage every 10 s, and three failures in a row count, by default', () => {
    assert.deepEqual(read({}), { storage: { intervalMs: 10_000, threshold: 3 }, extra: [] });
  });

  it('change or end the probe of the storage', () => {
    const prefix = 'REGISTRY_HEALTH_STORAGEDRIVER';
    const { storage } = read({ [`${prefix}_INTERVAL`]: '1m', [`${prefix}_THRESHOLD`]: '5' });
    assert.deepEqual(storage, { intervalMs: 60_000, threshold: 5 });
    assert.equal(read({ [`${prefix}_THRESHOLD`]: '0' }).storage?.threshold, 1);
    assert.equal(read({ [`${prefix}_ENABLED`]: 'false' }).storage, undefined);
  });

  it("take distribution's checks of files, URLs and ports", () => {
    const { extra } = read({
      REGISTRY_HEALTH_FILE: '[{"file": "/run/stop"}]',
      REGISTRY_HEALTH_HTTP:
        '[{"uri": "https://a.example.com/x", "headers": {"Authorization": ["Basic eA=="]}, "statuscode": 204, "timeout": "3s", "interval": "20s", "threshold": 2}, {"uri": "http://b/"}]',
      REGISTRY_HEALTH_TCP:
        '[{addr: "redis.example.com:6379", timeout: 3s, interval: 10s, threshold: 3}, {addr: "[::1]:80"}]',
    });
    assert.deepEqual(extra, [
      { kind: 'file', file: '/run/stop', intervalMs: 10_000, threshold: 1 },
      {
        kind: 'http',
        uri: 'https://a.example.com/x',
        headers: { Authorization: ['Basic eA=='] },
        statusCode: 204,
        timeoutMs: 3_000,
        intervalMs: 20_000,
        threshold: 2,
      },
      {
        kind: 'http',
        uri: 'http://b/',
        headers: {},
        statusCode: 200,
        timeoutMs: 5_000,
        intervalMs: 10_000,
        threshold: 1,
      },
      {
        kind: 'tcp',
        host: 'redis.example.com',
        port: 6379,
        timeoutMs: 3_000,
        intervalMs: 10_000,
        threshold: 3,
      },
      { kind: 'tcp', host: '::1', port: 80, timeoutMs: 5_000, intervalMs: 10_000, threshold: 1 },
    ]);
  });

  for (const [name, value, fault] of [
    ['REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL', '10', /not a duration from 1s to 1h, such as 10s/],
    ['REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL', '1ms', /not a duration from 1s to 1h/],
    ['REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD', 'three', /not a number of failures/],
    ['REGISTRY_HEALTH_FILE', '/run/stop', /not a list of checks, such as \[\{file/],
    [
      'REGISTRY_HEALTH_FILE',
      '[{"path": "/x"}]',
      /entry 1: file must be one such as \/run\/stop; there is no path/,
    ],
    ['REGISTRY_HEALTH_HTTP', '[{"uri": "ftp://x"}]', /entry 1: uri must be one such as http:/],
    ['REGISTRY_HEALTH_HTTP', '[{"uri": "http://user:hunter2@x/"}]', /entry 1: uri must be one such as http:/],
    ['REGISTRY_HEALTH_HTTP', '[{"uri": "http://x/", "headers": {"A": "hunter2\\n"}}]', /headers must be/],
    [
      'REGISTRY_HEALTH_HTTP',
      '[{"uri": "http://x/", "timeout": "soon", "statuscode": 42}]',
      /statuscode must be .*timeout must be/,
    ],
    [
      'REGISTRY_HEALTH_TCP',
      '[{"addr": "host"}, {"addr": "host:99999"}]',
      /entry 1: addr must.*\n.*entry 2: addr must/,
    ],
  ] as const)
    it(`refuse ${name}=${value}`, () => {
      const faults = faultsOf({ [name]: value });
      assert.match(faults, fault);
      assert.doesNotMatch(faults, /hunter2/);
    });
});
