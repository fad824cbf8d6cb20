import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNames } from '../../../infra/gateway.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { examples, parametersWith } from '../stack/examples.ts';
import { actionsOf, statementsOf, type Statement } from './role-template.ts';

interface InlinePolicy {
  readonly PolicyDocument: { readonly Statement: readonly Statement[] };
}

describe('the boundary of roles', () => {
  const deployments = Object.values(examples);
  const boundary = new Set(statementsOf('Boundary').flatMap(actionsOf));

  it('has all rights of functions and the data plane, and no other', () => {
    const ofRoles = deployments
      .flatMap((parameters) => Object.values(templateOf(parameters).Resources))
      .filter(({ Type }) => Type === 'AWS::IAM::Role')
      .flatMap(({ Properties }) => Properties?.['Policies'] as unknown as InlinePolicy[])
      .flatMap(({ PolicyDocument }) => PolicyDocument.Statement.flatMap(actionsOf));
    assert.deepEqual([...boundary].sort(), [...new Set(ofRoles)].sort());
  });

  it('limits all roles of a stack that is deployed with it', () => {
    const arn = 'arn:aws:iam::123456789012:policy/stowage-ci-Boundary-1A2B';
    for (const parameters of deployments) {
      const { Resources } = templateOf({ ...parameters, permissionsBoundary: arn });
      const roles = Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Role');
      assert.ok(roles.length >= functionNames.length);
      for (const { Properties } of roles) assert.equal(Properties?.['PermissionsBoundary'], arn);
    }
    assert.throws(
      () => parametersWith({ permissionsBoundary: 'boundary' }),
      /permissionsBoundary: .* is not the ARN of a policy/,
    );
  });
});
