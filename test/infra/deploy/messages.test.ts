import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ResourceStatus, StackEvent } from '@aws-sdk/client-cloudformation';
import { explainCredentials, type Account } from '../../../infra/deploy/account.ts';
import { describeFailures, readFailures, remedyOf } from '../../../infra/deploy/failures.ts';
import { essence } from '../../../infra/deploy/serverless.ts';
import { statusFault } from '../../../infra/deploy/stack.ts';
import { readDeployOptions } from '../../../lib/commands/deploy.ts';
import { UsageError } from '../../../lib/commands/command.ts';
import { showUse } from '../../../infra/deploy/summary.ts';
import { parametersWith } from '../stack/examples.ts';

const named = (name: string, message = name) => Object.assign(new Error(message), { name });

describe('messages of a deployment', () => {
  it('say what to do about credentials', () => {
    const cases = [
      [
        named('CredentialsProviderError', 'Could not load credentials from any providers'),
        /there are no credentials.*aws sso login/,
      ],
      [named('ExpiredToken', 'The security token included in the request is expired'), /have expired/],
      [
        named('CredentialsProviderError', 'The SSO session associated with this profile has expired.'),
        /have expired/,
      ],
      [named('InvalidClientTokenId'), /does not know these/],
      [
        named('Error', 'getaddrinfo ENOTFOUND sts.xx-1.amazonaws.com'),
        /cannot be reached in the region xx-1/,
      ],
    ] as const;
    for (const [error, expected] of cases) assert.match(explainCredentials(error, 'xx-1'), expected);
  });

  it('say what to do about the usual reasons of CloudFormation', () => {
    const cases = [
      [
        'User: arn:aws:iam::1:user/ci is not authorized to perform: iam:CreateRole on resource: x',
        /this right/,
      ],
      ['stowage-dev-1 already exists', /this name/],
      ['The bucket stowage-dev-1 already exists', /existingBucket/],
      [
        "Specified ReservedConcurrentExecutions decreases account's UnreservedConcurrentExecution below 10",
        /Service Quotas/,
      ],
      ['The maximum number of addresses has been reached. (Service: Ec2)', /quota/],
      ['Rate exceeded (Service: ApiGatewayV2, Status Code: 429)', /run the command again/],
      ['The role defined for the function cannot be assumed by Lambda.', /run the command again/],
    ] as const;
    for (const [reason, expected] of cases) assert.match(remedyOf(reason) ?? '', expected, reason);
    assert.equal(remedyOf('Something new'), undefined);
    assert.equal(
      describeFailures([{ id: 'Topic', type: 'AWS::SNS::Topic', reason: 'Something new' }]),
      '  Topic (AWS::SNS::Topic): Something new',
    );
  });

  it('name what failed first, on all pages of events, without what was cancelled or is older', async () => {
    const since = new Date('2026-01-01T12:00:00Z');
    const event = (
      LogicalResourceId: string,
      ResourceStatus: ResourceStatus,
      ResourceStatusReason: string,
      minutes = 1,
    ) => ({
      LogicalResourceId,
      ResourceStatus,
      ResourceStatusReason,
      ResourceType: 'AWS::X::Y',
      ...{ StackId: '', StackName: 'stowage-dev', EventId: '' },
      Timestamp: new Date(since.getTime() + minutes * 60_000),
    });
    // Newest first, as CloudFormation gives them.
    const pages: readonly StackEvent[][] = [
      [
        event('stowage-dev', 'UPDATE_ROLLBACK_COMPLETE', ''),
        event('Later', 'CREATE_FAILED', 'Resource creation cancelled'),
        event('Second', 'CREATE_FAILED', 'Rate exceeded'),
      ],
      [
        event('First', 'UPDATE_FAILED', 'Bad value'),
        event('Good', 'CREATE_COMPLETE', ''),
        event('Old', 'CREATE_FAILED', 'Long ago', -60),
      ],
    ];
    const send = async ({ input }: { input: { NextToken?: string } }) => {
      await Promise.resolve();
      const page = Number(input.NextToken ?? 0);
      return { StackEvents: pages[page], NextToken: page === 0 ? '1' : undefined };
    };
    const account = { cloudformation: { send } } as unknown as Account;
    assert.equal(
      describeFailures(await readFailures(account, 'stowage-dev', since)),
      '  First (AWS::X::Y): Bad value\n  Second (AWS::X::Y): Rate exceeded\n    → AWS was asked too often; run the command again',
    );
  });

  it('leave out what osls says of itself', () => {
    const output = `
Deploying stowage to stage dev (us-east-1)
Warning: Function (all) timeout setting (120) is greater than maximum

× Stack stowage-dev failed to deploy (0s)
Environment: linux, node 24.21.0, osls 4.3.1 (local)
Docs:        github.com/oss-serverless/osls

Error:
connect ECONNREFUSED 127.0.0.1:9
`;
    assert.equal(essence(output), 'connect ECONNREFUSED 127.0.0.1:9');
  });

  it('say how to go on with a stack that cannot be updated', () => {
    const fault = (status: string) =>
      statusFault({ name: 'stowage-dev', status, changedAt: 0, outputs: {} }, 'REMOVE');
    assert.match(fault('ROLLBACK_COMPLETE') ?? '', /run "REMOVE"/);
    assert.match(fault('UPDATE_IN_PROGRESS') ?? '', /wait/);
    assert.match(fault('UPDATE_ROLLBACK_FAILED') ?? '', /continue-update-rollback/);
    for (const status of [
      'CREATE_COMPLETE',
      'UPDATE_COMPLETE',
      'UPDATE_ROLLBACK_COMPLETE',
      'REVIEW_IN_PROGRESS',
    ])
      assert.equal(fault(status), undefined, status);
  });
});

describe('options of a deployment', () => {
  it('become parameters', () => {
    const args = ['--data-plane', 'instance', '--host', 'r.example.com', '--param', 'settings=a=b', '--yes'];
    assert.deepEqual(readDeployOptions(args), {
      stage: 'dev',
      region: undefined,
      parameters: { dataPlane: 'instance', host: 'r.example.com', settings: 'a=b' },
      dryRun: false,
      yes: true,
    });
  });

  it('say what sets that which is no parameter', () => {
    for (const [name, remedy] of [
      ['publicKeys', /publicKeys is set by the deployment itself/],
      ['secretsRevision', /secretsRevision is set by the deployment itself/],
      ['stage', /use --stage/],
      ['region', /use --region/],
    ] as const)
      assert.throws(() => readDeployOptions(['--param', `${name}=a`]), remedy);
  });

  it('are refused when they contradict each other or mean nothing', () => {
    for (const args of [
      ['--param', 'host'],
      ['--param', 'host=a', '--host', 'b'],
      ['--param', 'a=1', '--param', 'a=2'],
      ['--param', 'publicKeys=a'],
      ['--stage'],
      ['dev'],
    ])
      assert.throws(() => readDeployOptions(args), UsageError, args.join(' '));
  });
});

it('the first push is of an image that is there, and as whoever may push', () => {
  const url = 'https://a.example.com';
  const text = showUse(url, parametersWith(), undefined);
  assert.match(text, /login a\.example\.com --username NAME\n/);
  assert.match(text, /docker pull busybox\n +docker tag busybox a\.example\.com\/team\/app:v1\n/);
  assert.doesNotMatch(showUse(url, parametersWith({ auth: 'none' }), undefined), /login/);
});
