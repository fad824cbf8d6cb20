import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig, type Program } from '../../lib/config/config.ts';
import type { EndpointConfig, NotificationsConfig } from '../../lib/config/notifications.ts';
import { faultsOf } from './faults.ts';

const setting = 'REGISTRY_NOTIFICATIONS_ENDPOINTS';
const secret = '0123456789abcdef0123456789abcdef';
const other = 'fedcba9876543210fedcba9876543210';

function read(environment: Record<string, string>, program: Program = 'server'): NotificationsConfig {
  return loadConfig(program, environment).notifications;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

function endpointOf(entry: string): EndpointConfig {
  const [endpoint, ...others] = read({ [setting]: `[${entry}]` }).endpoints;
  assert.ok(endpoint !== undefined && others.length === 0);
  return endpoint;
}

describe('the settings of notifications', () => {
  it('name no endpoint by default', () => {
    assert.deepEqual(read({}), { endpoints: [], includeReferences: false, queue: undefined });
  });

  it("take distribution's endpoints, with its defaults, and without pulls", () => {
    assert.deepEqual(endpointOf('{name: builds, url: "https://ci.example.com/events?a=b"}'), {
      name: 'builds',
      target: {
        kind: 'webhook',
        url: 'https://ci.example.com/events?a=b',
        headers: {},
        secrets: [],
        privateAddresses: false,
      },
      format: 'distribution',
      timeoutMs: 1_000,
      threshold: 10,
      backoffMs: 1_000,
      actions: ['push', 'mount', 'delete'],
      ignoredMediaTypes: [],
      repositories: undefined,
    });
  });

  it('take all that an endpoint may have', () => {
    const endpoint = endpointOf(
      oneLine(`{name: audit, disabled: false, url: "http://10.0.0.1:8080/", headers: {Authorization: [Bearer x]}, timeout: 500ms, threshold: 5,
        backoff: 2s, ignoredmediatypes: [application/octet-stream], ignore: {mediatypes: [a/b+c], actions: [mount]}, format: cloudevents,
        secret: [${secret}, ${other}], privateaddresses: true, repositories: [team/**, tools], actions: [push, pull, mount]}`),
    );
    assert.deepEqual(endpoint, {
      name: 'audit',
      target: {
        kind: 'webhook',
        url: 'http://10.0.0.1:8080/',
        headers: { Authorization: ['Bearer x'] },
        secrets: [secret, other],
        privateAddresses: true,
      },
      format: 'cloudevents',
      timeoutMs: 500,
      threshold: 5,
      backoffMs: 2_000,
      actions: ['push', 'pull'],
      ignoredMediaTypes: ['application/octet-stream', 'a/b+c'],
      repositories: ['team/**', 'tools'],
    });
  });

  it('take variables of single entries, also beside a list, as from a secret', () => {
    const { endpoints, includeReferences } = read({
      [setting]: '[{name: first, url: "https://a.example.com/"}]',
      [`${setting}_0_SECRET`]: secret,
      [`${setting}_0_HEADERS_AUTHORIZATION`]: 'Bearer x',
      [`${setting}_0_IGNORE_ACTIONS`]: '[delete]',
      [`${setting}_1_NAME`]: 'second',
      [`${setting}_1_URL`]: 'https://b.example.com/',
      [`${setting}_1_SECRET_0`]: secret,
      [`${setting}_1_SECRET_1`]: other,
      [`${setting}_1_REPOSITORIES`]: 'team/**',
      REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES: 'true',
    });
    assert.equal(includeReferences, true);
    assert.deepEqual(
      endpoints.map(({ name, actions, repositories, target }) => ({
        name,
        actions,
        repositories,
        ...(target.kind === 'webhook' && { headers: target.headers, secrets: target.secrets }),
      })),
      [
        {
          name: 'first',
          actions: ['push', 'mount'],
          repositories: undefined,
          headers: { authorization: ['Bearer x'] },
          secrets: [secret],
        },
        {
          name: 'second',
          actions: ['push', 'mount', 'delete'],
          repositories: ['team/**'],
          headers: {},
          secrets: [secret, other],
        },
      ],
    );
  });

  it('take variables by the names of endpoints, wherever in the list they are', () => {
    const entries = [
      '{name: builds, url: "https://a.example.com/"}',
      '{name: builds-nightly, url: "https://b.example.com/"}',
    ];
    for (const list of [entries, entries.toReversed()]) {
      const { endpoints } = read({
        [setting]: `[${list.join(', ')}]`,
        [`${setting}_BUILDS_SECRET`]: secret,
        [`${setting}_BUILDS_NIGHTLY_SECRET`]: JSON.stringify([other, secret]),
        [`${setting}_BUILDS_NIGHTLY_HEADERS_AUTHORIZATION`]: 'Bearer x',
      });
      const targets = new Map(endpoints.map(({ name, target }) => [name, target]));
      assert.partialDeepStrictEqual(targets.get('builds'), { secrets: [secret], headers: {} });
      assert.partialDeepStrictEqual(targets.get('builds-nightly'), {
        secrets: [other, secret],
        headers: { authorization: ['Bearer x'] },
      });
    }
  });

  it('refuse variables of a name that no endpoint has', () => {
    const list = '[{name: builds, url: "https://a.example.com/"}]';
    const faults = faultsOf({ [setting]: list, [`${setting}_BUILD_SECRET`]: secret });
    assert.deepEqual(faults.length, 1, faults.join('\n'));
    assert.match(faults[0] ?? '', new RegExp(`^${setting}_BUILD_SECRET: `));
  });

  it('refuse pulls in functions and in a data plane, which would tell of none', () => {
    const environment = {
      [setting]: '[{name: a, url: "https://a.example.com", actions: [push, pull]}]',
      REGISTRY_AUTH: 'none',
      REGISTRY_STORAGE: 's3',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
      REGISTRY_HTTP_SECRET: secret,
      REGISTRY_HTTP_HOST: 'https://registry.example.com',
    };
    for (const program of ['functions', 'data-plane'] as const)
      assert.match(
        faultsOf(environment, program).join('\n'),
        /^REGISTRY_NOTIFICATIONS_ENDPOINTS: .*of pulls/,
      );
    assert.deepEqual(read(environment, 'maintenance').endpoints[0]?.actions, ['push', 'pull']);
  });

  it('take a secret of Standard Webhooks', () => {
    const whole = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    const { target } = endpointOf(`{name: a, url: "https://a.example.com", secret: "${whole}"}`);
    assert.ok(target.kind === 'webhook');
    assert.deepEqual(target.secrets, [whole]);
  });

  it('leave out disabled endpoints, whatever they have', () => {
    const list = '[{disabled: true, url: none, auth: a}, {name: b, url: "https://b.example.com"}]';
    assert.deepEqual(
      read({ [setting]: list }).endpoints.map(({ name }) => name),
      ['b'],
    );
  });

  it('take the ARN of a queue or of an event bus for a URL', () => {
    const [queue, bus] = read({
      [setting]:
        '[{name: a, url: "arn:aws:sqs:eu-central-1:123456789012:events"}, {name: b, url: "arn:aws-cn:events:cn-north-1:123456789012:event-bus/default"}]',
    }).endpoints.map(({ target }) => target);
    assert.deepEqual(queue, {
      kind: 'sqs',
      arn: 'arn:aws:sqs:eu-central-1:123456789012:events',
      region: 'eu-central-1',
      account: '123456789012',
      queue: 'events',
    });
    assert.deepEqual(bus, {
      kind: 'eventbridge',
      arn: 'arn:aws-cn:events:cn-north-1:123456789012:event-bus/default',
      region: 'cn-north-1',
    });
  });

  it('name the queue by which functions deliver at once', () => {
    const REGISTRY_NOTIFICATIONS_QUEUE = 'arn:aws:sqs:eu-central-1:123456789012:stowage-prod-events';
    const { queue } = read({ REGISTRY_NOTIFICATIONS_QUEUE }, 'maintenance');
    assert.equal(queue?.queue, 'stowage-prod-events');
    assert.match(faultsOf({ REGISTRY_NOTIFICATIONS_QUEUE }).join(), /only functions need it/);
    assert.match(
      faultsOf({ REGISTRY_NOTIFICATIONS_QUEUE: 'events' }, 'maintenance').join(),
      /^REGISTRY_NOTIFICATIONS_QUEUE: must be the ARN/,
    );
  });

  for (const [entry, fault] of [
    ['{}', /^.*: entry 1: name must be one such as builds .*; url must be one such as https:/],
    ['{name: "a b", url: "https://a.example.com"}', /name must be/],
    ['{name: a, url: "ftp://a.example.com"}', /url must be one such as https:/],
    ['{name: a, url: "https://u:p@a.example.com"}', /url must not have a user or password/],
    [
      '{name: a, url: "https://sqs.eu-central-1.amazonaws.com/123456789012/events"}',
      /url is that of a queue; name its ARN/,
    ],
    ['{name: a, url: "arn:aws:sns:eu-central-1:123456789012:events"}', /url must be an ARN such as/],
    [
      `{name: a, url: "arn:aws:sqs:eu-central-1:123456789012:events", secret: ${secret}}`,
      /secret has no effect with an ARN/,
    ],
    ['{name: a, url: "https://a.example.com", secret: short}', /secret must have 32 characters at least/],
    ['{name: a, url: "https://a.example.com", timeout: 2m}', /timeout must be a duration from 0.1s to 1m/],
    ['{name: a, url: "https://a.example.com", format: json}', /format must be one of distribution, cloud/],
    ['{name: a, url: "https://a.example.com", actions: [tag]}', /actions must have only push, pull, /],
    [
      '{name: a, url: "https://a.example.com", actions: [push], ignore: {actions: [push]}}',
      /ignore: leaves no action/,
    ],
    ['{name: a, url: "https://a.example.com", ignore: {action: [push]}}', /ignore: there is no action/],
    ['{name: a, url: "https://a.example.com", repositories: [Team]}', /repositories .* lower case/],
    ['{name: a, url: "https://a.example.com", topic: b}', /there is no topic/],
    [
      '{name: a, url: "https://a.example.com"}, {name: a, url: "https://b.example.com"}',
      /two have the name a, .*; give one another/,
    ],
    [
      '{name: my-ci, url: "https://a.example.com"}, {name: My_CI, url: "https://b.example.com", disabled: true}',
      /two have the name My_CI, /,
    ],
    ['{name: 1st, url: "https://a.example.com"}', /name must be one such as builds \(a letter, then/],
    [
      `{name: a, url: "https://a.example.com", secret: "whsec_${secret}-${secret}"}`,
      /secret that begins with whsec_ must go on with base64 of 24 bytes at least/,
    ],
    [
      `{name: a, url: "https://a.example.com", secret: [${secret}, whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY=]}`,
      /secret that begins with whsec_ must/,
    ],
  ] as const)
    it(`refuse ${oneLine(entry).slice(0, 90)}`, () => {
      const faults = faultsOf({ [setting]: `[${entry}]` });
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
      assert.ok(faults[0]?.startsWith(`${setting}: `));
    });

  it('never repeat a secret, a header or a URL in a fault', () => {
    const faults = faultsOf({
      [setting]:
        '[{name: hunter2 hunter2, url: "hunter2://hunter2", secret: [hunter2], headers: {hunter2 hunter2: b}}]',
    });
    assert.doesNotMatch(faults.join('\n'), /hunter2/);
  });
});
