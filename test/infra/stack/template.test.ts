import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNames } from '../../../infra/gateway.ts';
import { environmentOf } from '../../../infra/stack/environment.ts';
import { functions } from '../../../infra/stack/functions.ts';
import { rightsOf } from '../../../infra/stack/rights.ts';
import { roleOf } from '../../../infra/stack/roles.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
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
          assert.ok(!(setting?.kind === 'works' && setting.secret === true), variable);
        }
    });
  }

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
