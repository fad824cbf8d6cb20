import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNames } from '../../../infra/gateway.ts';
import { environmentOf } from '../../../infra/stack/environment.ts';
import { functions } from '../../../infra/stack/functions.ts';
import { rightsOf } from '../../../infra/stack/rights.ts';
import { roleOf } from '../../../infra/stack/roles.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { listSetting } from '../../../lib/config/upstreams.ts';
import { endpointsSetting } from '../../../lib/config/notifications.ts';
import { knownSetting } from '../../../lib/config/variables.ts';
import { examples, parametersWith } from './examples.ts';
import { statementsIn } from './statements.ts';

/** Actions that AWS allows on all resources only, or asks for on all, with the source. */
const withoutResource: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [
      ...['CreateNetworkInterface', 'DescribeNetworkInterfaces', 'DescribeSubnets', 'DeleteNetworkInterface'],
      ...['AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
    ].map((action) => [
      `ec2:${action}`,
      'https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html',
    ]),
  ),
  'ecr:GetAuthorizationToken':
    'https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html',
};

describe('the template of a stack', () => {
  for (const [what, parameters] of Object.entries(examples)) {
    const { Resources } = templateOf(parameters);

    it(`allows no wildcard of actions and no bare * for ${what}`, () => {
      const allowed = statementsIn(Resources).filter(({ Effect }) => Effect === 'Allow');
      assert.ok(allowed.length > functionNames.length);
      for (const { Action, Resource } of allowed)
        for (const action of [Action].flat()) {
          assert.doesNotMatch(action, /[*?]/);
          if (Resource === '*' || [Resource].flat().includes('*'))
            assert.ok(withoutResource[action], `${action} on *`);
        }
    });

    it(`gives each function the role of the table for ${what}`, () => {
      for (const name of functionNames) {
        const allowed = statementsIn(Resources[roleOf(name)]?.Properties?.['Policies']).filter(
          ({ Effect }) => Effect === 'Allow',
        );
        assert.deepEqual(
          allowed.map(({ Action }) => Action),
          rightsOf(name, parameters).map(({ actions }) => actions),
        );
      }
    });

    it(`has no secret in an environment for ${what}`, () => {
      for (const name of functionNames)
        for (const variable of Object.keys(environmentOf(name, parameters))) {
          const { setting } = knownSetting(variable) ?? {};
          if (variable !== endpointsSetting && variable !== listSetting)
            assert.ok(!(setting?.kind === 'works' && setting.secret === true), variable);
        }
    });
  }

  it('has endpoints in its environment, but neither their secrets nor their headers', () => {
    const fault =
      /settings: REGISTRY_NOTIFICATIONS_ENDPOINTS: the secret and headers of entry 2 would be in the template; set REGISTRY_NOTIFICATIONS_ENDPOINTS_B_SECRET /;
    for (const secret of ['secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'headers: {Authorization: Bearer a}'])
      assert.throws(
        () =>
          parametersWith({
            REGISTRY_NOTIFICATIONS_ENDPOINTS: `[{name: a, url: "https://a.example.com"}, {name: b, url: "https://b.example.com", ${secret}}]`,
          }),
        fault,
      );
  });

  it('has upstreams in its environment, but not their passwords, and users for those alone that have these', () => {
    const list = (entries: string) => () => parametersWith({ REGISTRY_PROXY_UPSTREAMS: entries });
    assert.throws(
      list('[{prefix: docker-hub/**, url: "https://a.example.com", username: a, password: b}]'),
      /settings: REGISTRY_PROXY_UPSTREAMS: the password of entry 1 would be in the template; set REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PASSWORD /,
    );
    assert.throws(
      list(
        '[{prefix: a-b/**, url: "https://a.example.com", username: a}, {prefix: a.b/**, url: "https://b.example.com", username: a}]',
      ),
      /settings: REGISTRY_PROXY_UPSTREAMS: REGISTRY_PROXY_UPSTREAMS_A_B_PASSWORD would be the password of two entries/,
    );
    assert.throws(
      () =>
        parametersWith({ REGISTRY_PROXY_REMOTEURL: 'https://a.example.com', REGISTRY_PROXY_PASSWORD: 'b' }),
      /settings: REGISTRY_PROXY_PASSWORD is secret/,
    );
    assert.throws(
      () => parametersWith({ REGISTRY_PROXY_COPYFUNCTION: 'other' }),
      /REGISTRY_PROXY_COPYFUNCTION is set by the deployment itself/,
    );
    const { upstreams: parameters = parametersWith() } = examples;
    for (const name of functionNames) {
      const { REGISTRY_PROXY_UPSTREAMS: list, REGISTRY_SECRETS: secrets } = environmentOf(name, parameters);
      const reads = JSON.stringify(secrets ?? '').includes('stowage/dev/upstreams');
      assert.equal(JSON.stringify(list).includes('robot'), reads, name);
      assert.match(JSON.stringify(list), /ghcr/, name);
    }
    const whole = parametersWith({
      REGISTRY_PROXY_REMOTEURL: 'https://a.example.com',
      REGISTRY_PROXY_USERNAME: 'robot',
    });
    assert.equal(environmentOf('blobs', whole)['REGISTRY_PROXY_USERNAME'], 'robot');
    assert.equal(environmentOf('catalog', whole)['REGISTRY_PROXY_USERNAME'], undefined);
  });

  it('lets those invoke copy that need it, where there are upstreams', () => {
    for (const [what, parameters] of Object.entries(examples)) {
      const isOn = what === 'upstreams' || what === 'SCS and upstreams';
      const roles = templateOf(parameters).Resources;
      const invoking = functionNames.filter((name) =>
        JSON.stringify(roles[roleOf(name)]).includes('lambda:InvokeFunction'),
      );
      assert.deepEqual(invoking.toSorted(), isOn ? ['all', 'blobs', 'copy'] : [], what);
      for (const name of invoking)
        assert.match(
          JSON.stringify(roles[roleOf(name)]),
          /"lambda:InvokeFunction"\],"Resource":\{"Fn::Sub":"[^"]*function:stowage-dev-copy"/,
        );
      const { REGISTRY_PROXY_COPYFUNCTION: named } = environmentOf('blobs', parameters);
      assert.equal(named, isOn ? 'stowage-dev-copy' : undefined, what);
      assert.equal('CopyFailedAlarm' in roles, isOn, what);
    }
  });

  it('delivers events each minute where there are endpoints, and at once with a queue', () => {
    for (const [what, parameters] of Object.entries(examples)) {
      const isOn = what === 'endpoints of events';
      const queue = {
        sqs: { arn: { 'Fn::GetAtt': ['EventQueue', 'Arn'] }, batchSize: 10, maximumConcurrency: 2 },
      };
      assert.deepEqual(
        functions(parameters, {})['events']?.['events'],
        [{ schedule: { rate: 'rate(1 minute)', enabled: isOn } }, ...(isOn ? [queue] : [])],
        what,
      );
      assert.equal('EventQueue' in templateOf(parameters).Resources, isOn, what);
    }
    const { 'endpoints of events': parameters = parametersWith() } = examples;
    const writers = functionNames.filter(
      (name) => 'REGISTRY_NOTIFICATIONS_QUEUE' in environmentOf(name, parameters),
    );
    assert.deepEqual(writers.toSorted(), ['all', 'blobs', 'gc', 'manifests', 'uploads']);
  });

  it('takes no queue without endpoints', () => {
    assert.throws(
      () => parametersWith({ eventQueue: 'true' }),
      /eventQueue: has no effect without REGISTRY_NOTIF/,
    );
  });

  it('runs garbage collection each hour where it is on', () => {
    for (const [what, parameters] of Object.entries(examples))
      assert.deepEqual(
        functions(parameters, {})['gc']?.['events'],
        [{ schedule: { rate: 'rate(1 hour)', enabled: what === 'garbage collection' } }],
        what,
      );
  });

  it('has names of resources that no other stage has', () => {
    const names = (stage: string) => JSON.stringify(templateOf({ ...parametersWith(), stage }).Resources);
    assert.equal(names('dev').replaceAll('dev', 'other'), names('other'));
  });
});
