import { DescribeStackEventsCommand, type StackEvent } from '@aws-sdk/client-cloudformation';
import type { Account } from './account.ts';

/** A resource that CloudFormation could not make, change or remove. */
export interface Failure {
  readonly id: string;
  readonly type: string;
  readonly reason: string;
}

/** Events of CloudFormation that are looked at, newest first; a deployment has about a thousand. */
const maxPages = 20;

/** What failed in a stack since a time, oldest first, without what was only cancelled after it. */
export async function readFailures(
  { cloudformation }: Account,
  stackName: string,
  since: Date,
): Promise<readonly Failure[]> {
  const events: StackEvent[] = [];
  let token: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    const request = new DescribeStackEventsCommand({ StackName: stackName, NextToken: token });
    const { StackEvents = [], NextToken } = await cloudformation.send(request);
    const recent = StackEvents.filter(({ Timestamp }) => Timestamp !== undefined && Timestamp >= since);
    events.push(...recent);
    if (NextToken === undefined || recent.length < StackEvents.length) break;
    token = NextToken;
  }
  return events
    .filter((event) => event.ResourceStatus?.endsWith('_FAILED') === true && isCause(event, stackName))
    .reverse()
    .map(({ LogicalResourceId: id = '', ResourceType: type = '', ResourceStatusReason: reason = '' }) => ({
      id,
      type,
      reason,
    }));
}

function isCause({ LogicalResourceId, ResourceStatusReason = '' }: StackEvent, stackName: string): boolean {
  return LogicalResourceId !== stackName && !/cancelled/i.test(ResourceStatusReason);
}

/** What to do about the usual reasons, the first that fits. */
const remedies: readonly (readonly [pattern: RegExp, remedy: string])[] = [
  [
    /not authorized to perform:? (\S+)|AccessDenied|Access Denied|UnauthorizedOperation/i,
    'give these credentials this right; infra/ci/aws-role.yml has those of a deployment, and of a data plane and CloudFront by its parameters',
  ],
  [
    /BucketAlreadyExists|BucketAlreadyOwnedByYou|bucket .*already exists/i,
    'name another bucket with --param bucket=NAME, or take this one with --param existingBucket=NAME',
  ],
  [/already exists/i, 'something else has this name: remove it, or deploy another --stage'],
  [
    /certificate/i,
    'the certificate must be issued, for this host, and in the region that docs/deploy/aws.md names',
  ],
  [
    /UnreservedConcurrentExecution|concurren/i,
    'ask for a higher "Concurrent executions" of Lambda in Service Quotas',
  ],
  [
    /LimitExceeded|quota|maximum number|limit .*reached|exceeded the/i,
    'raise this quota in Service Quotas, or remove what is not used',
  ],
  [/Rate exceeded|Throttl|TooManyRequests/i, 'AWS was asked too often; run the command again'],
  [
    /cannot be assumed|internal error|InternalFailure|ServiceUnavailable/i,
    'this passes by itself; run the command again',
  ],
  [/runtime/i, 'this region may not have the runtime nodejs24.x yet; choose another one'],
  [
    /secret.*(not found|can't find)/i,
    'a secret of the stage was removed during the deployment; run the command again',
  ],
];

/** Undefined if the reason must speak for itself. */
export function remedyOf(reason: string): string | undefined {
  return remedies.find(([pattern]) => pattern.test(reason))?.[1];
}

/** One line for each failure, and its remedy. */
export function describeFailures(failures: readonly Failure[]): string {
  return failures
    .map(({ id, type, reason }) => {
      const remedy = remedyOf(reason);
      return `  ${id} (${type}): ${reason}${remedy === undefined ? '' : `\n    → ${remedy}`}`;
    })
    .join('\n');
}
