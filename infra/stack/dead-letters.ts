import type { Template } from './template.ts';

/** The logical id of the queue that keeps events of jobs that have failed for good. */
export const deadLetters = 'DeadLetters';

export function deadLetterQueue(): Template {
  return {
    Resources: {
      [deadLetters]: {
        Type: 'AWS::SQS::Queue',
        // SQS keeps messages for 14 days at most (API reference of SetQueueAttributes).
        Properties: { MessageRetentionPeriod: 14 * 24 * 3600, SqsManagedSseEnabled: true },
      },
    },
  };
}
