import type { Delivery } from '../../registry/subscriber.ts';

/**
 * Errors that are about one event and not about the queue or bus, its rights or the connection: the event will not be taken later either.
 * Names of SQS and EventBridge.
 */
const aboutEvent: ReadonlySet<string> = new Set([
  'InvalidMessageContents',
  'InvalidParameterValue',
  'MalformedDetail',
  'MessageTooLong',
  'ValidationException',
]);

/** @param name of the error, which is all that is logged: the text of an error of AWS may quote the request */
export function awsOutcome(name: string): Delivery {
  const reason = `AWS answered ${name}`;
  const isAboutEvent = aboutEvent.has(name.replace(/Exception$/, '')) || aboutEvent.has(name);
  return isAboutEvent ? { outcome: 'refused', reason, isAboutEvent } : { outcome: 'failed', reason };
}
