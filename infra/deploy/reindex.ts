import { InvokeCommand } from '@aws-sdk/client-lambda';
import { functionName } from '../gateway.ts';
import type { Account } from './account.ts';

/** Runs the function `reindex`, and waits for its end. @throws Error with its reason */
export async function reindex({ lambda }: Account, stage: string, interrupted: AbortSignal): Promise<void> {
  const { FunctionError, Payload } = await lambda.send(
    new InvokeCommand({ FunctionName: functionName('reindex', stage), Payload: Buffer.from('{}') }),
    { abortSignal: interrupted },
  );
  if (FunctionError === undefined) return;
  const { errorMessage = 'unknown error' } = JSON.parse(Buffer.from(Payload ?? []).toString() || '{}') as {
    errorMessage?: string;
  };
  throw new Error(errorMessage);
}
