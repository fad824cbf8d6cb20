import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dataPlaneSettings } from '../../../infra/stack/data-plane/settings.ts';
import { environmentOf } from '../../../infra/stack/environment.ts';
import { ParameterError, type Parameters } from '../../../infra/stack/parameters.ts';
import { parametersWith } from './examples.ts';

/** @returns the parameters, or the only fault of them */
function outcome(overrides: Readonly<Record<string, string>>): Parameters | string {
  try {
    return parametersWith(overrides);
  } catch (error) {
    assert.ok(error instanceof ParameterError, String(error));
    assert.equal(error.faults.length, 1, error.message);
    return error.faults[0] ?? '';
  }
}

describe('the settings of deployed functions', () => {
  for (const [what, overrides, fault] of [
    [
      'that do not exist',
      { REGISTRY_LOG_LEVL: 'debug' },
      /^settings: REGISTRY_LOG_LEVL: no such setting; did you mean REGISTRY_LOG_LEVEL\?$/,
    ],
    [
      'with wrong values',
      { REGISTRY_LOG_LEVEL: 'loud' },
      /^settings: REGISTRY_LOG_LEVEL: "loud" is not one of/,
    ],
    [
      'that are secret',
      { REGISTRY_HTTP_SECRET: 'a'.repeat(64) },
      /^settings: REGISTRY_HTTP_SECRET is secret/,
    ],
    [
      'that are secret and of another store',
      { REGISTRY_STORAGE_SCS_SECRETKEY: 'a' },
      /^settings: .*_SECRETKEY is secret/,
    ],
    [
      'that the stack sets',
      { REGISTRY_STORAGE_S3_BUCKET: 'other' },
      /^settings: .*_BUCKET is set by the deployment itself/,
    ],
    [
      'that name secrets',
      { REGISTRY_SECRETS: 'mine' },
      /^settings: REGISTRY_SECRETS is set by the deployment itself/,
    ],
    [
      'that need a data plane',
      { REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' },
      /REGISTRY_STORAGE_REDIRECT_DISABLE/,
    ],
    [
      'with the name of a key, to which no right can be given',
      { REGISTRY_STORAGE_S3_ENCRYPT: 'true', REGISTRY_STORAGE_S3_KEYID: 'alias/images' },
      /^settings: REGISTRY_STORAGE_S3_KEYID must be the ARN/,
    ],
    [
      'that are too large for Lambda',
      { REGISTRY_LOG_FIELDS: `{"a": "${'x'.repeat(4000)}"}` },
      /^settings: with them an environment has \d+ bytes, and Lambda takes 4096$/,
    ],
    [
      'with the credentials of a collector',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://user:secret@collector.example.com' },
      /^settings: OTEL_EXPORTER_OTLP_ENDPOINT has a user or password in its URL and would be in the template(?!.*secret)/,
    ],
    [
      'with a user in another spelling of a URL',
      { AWS_ENDPOINT_URL_S3: 'https:user@s3.example.com' },
      /^settings: AWS_ENDPOINT_URL_S3 has a user/,
    ],
    [
      'with events of pulls',
      { REGISTRY_NOTIFICATIONS_ENDPOINTS: '[{name: a, url: "https://a.example.com", actions: [pull]}]' },
      /^settings: REGISTRY_NOTIFICATIONS_ENDPOINTS: functions, .* send no events of pulls; remove pull/,
    ],
    [
      'that make Node run other code',
      { NODE_OPTIONS: '--max-old-space-size=400 --require /tmp/a.js' },
      /^settings: NODE_OPTIONS may have/,
    ],
    ['that weaken TLS', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }, /^settings: NODE_TLS_REJECT_UNAUTHORIZED may/],
    ['that weaken TLS by options', { NODE_OPTIONS: '--tls-min-v1.0' }, /^settings: NODE_OPTIONS may have/],
    [
      'with line breaks, which would leave the settings of an instance',
      { OTEL_SERVICE_NAME: 'x\nEND\ntouch /tmp/pwned' },
      /^settings: OTEL_SERVICE_NAME has a line break/,
    ],
    [
      'with line breaks in one of a section',
      { REGISTRY_LOG: '{fields: "x\\u0085END"}' },
      /^settings: REGISTRY_LOG_FIELDS has a line break/,
    ],
    [
      'that a template would replace',
      { OTEL_SERVICE_NAME: '{{resolve:secretsmanager:stowage/dev/token}}' },
      /^settings: OTEL_SERVICE_NAME has \{\{/,
    ],
    [
      'that osls would replace',
      { OTEL_SERVICE_NAME: '${env:AWS_SECRET_ACCESS_KEY}' },
      /^settings: OTEL_SERVICE_NAME has \$\{/,
    ],
    ['with other parameters with line breaks', { alarmEmail: 'a@b.c\0' }, /^alarmEmail: has a line break/],
    [
      'of a region that is none of SCS',
      { storage: 'scs', scsBucket: 'images', scsRegion: 'mars' },
      /"mars" is not one of/,
    ],
  ] as const)
    it(`are refused ${what}`, () => {
      const found = outcome(overrides);
      assert.ok(typeof found === 'string');
      assert.match(found, fault);
    });

  it('are refused together', () => {
    const settings = { REGISTRY_HTTP_SECRET: 'abc', REGISTRY_LOG_LEVEL: 'loud', AWS_REGION: 'us-east-1' };
    assert.throws(() => parametersWith(settings), {
      message: /_SECRET is secret.*\n.*AWS_REGION is no setting.*\n.*REGISTRY_LOG_LEVEL: "loud"/,
    });
  });

  for (const [auth, name, value] of [
    ['policy', 'REGISTRY_AUTH_POLICY_SERVICE', 'registry.example.com'],
    ['htpasswd', 'REGISTRY_AUTH_HTPASSWD_REALM', 'Images'],
  ] as const)
    it(`may be those of access with auth=${auth}, which jobs and the data plane do not get`, () => {
      const parameters = outcome({
        ...{ auth, [name]: value },
        ...{ dataPlane: 'instance', host: 'a.example.com', image: 'example.com/stowage:1' },
      });
      assert.ok(typeof parameters === 'object', JSON.stringify(parameters));
      assert.equal(environmentOf('manifests', parameters)[name], value);
      assert.equal(environmentOf('reindex', parameters)[name], undefined);
      assert.equal(dataPlaneSettings(parameters)[name], undefined);
    });

  it('may be any others', () => {
    const settings = {
      REGISTRY_LOG_LEVEL: 'debug',
      REGISTRY_METRICS_CLOUDWATCH_NAMESPACE: 'Stowage',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example.com/v1?to=ops@example.com',
      NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem',
      NODE_OPTIONS: '--max-old-space-size=400  --max_semi_space_size=16',
      REGISTRY_LOG_FIELDS: '{"a": "b"}',
    };
    const parameters = outcome(settings);
    assert.ok(typeof parameters === 'object');
    assert.deepEqual(parameters.settings, settings);
  });
});
