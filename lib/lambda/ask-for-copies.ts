import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { AskForCopy } from '../cache/function-blobs.ts';

/** Milliseconds for an invocation, which is not waited for. A pull waits for this. */
const timeoutMs = 2_000;

/** Invokes the function `copy`, in the region of this one unless its ARN names another. @param name or ARN of the function */
export function askForCopies(name: string): AskForCopy {
  const [, region] = /^arn:[^:]+:lambda:([^:]+):/.exec(name) ?? [];
  const client = new LambdaClient({
    ...(region !== undefined && { region }),
    maxAttempts: 2,
    requestHandler: {
      connectionTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
    },
  });
  return async (blob, turn = 1) => {
    const Payload = JSON.stringify({ ...blob, turn });
    await client.send(new InvokeCommand({ FunctionName: name, InvocationType: 'Event', Payload }));
  };
}
