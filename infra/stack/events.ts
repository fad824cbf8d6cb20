import { endpointsSetting, readNotifications, type EndpointConfig } from '../../lib/config/notifications.ts';
import { Settings } from '../../lib/config/settings.ts';
import { valueOf, variablePart } from '../../lib/config/variables.ts';
import { announcingGroups } from '../../lib/http/announcing-groups.ts';
import { functionName, type FunctionName } from '../gateway.ts';
import { timeoutOf } from './function-sizes.ts';
import type { Parameters } from './parameters.ts';
import { sub, type Template, type Value } from './template.ts';

type WithSettings = Pick<Parameters, 'settings'>;

/** Who is told of events. Faults are left to the check of settings. */
export function eventEndpoints({ settings }: WithSettings): readonly EndpointConfig[] {
  return readNotifications(new Settings(settings), false).endpoints;
}

/** Whether the function `events` delivers, so that writers keep events. */
export function tellsOfEvents(parameters: WithSettings): boolean {
  return eventEndpoints(parameters).length > 0;
}

/** An endpoint as it is given. */
export type GivenEndpoint = Readonly<Record<string, unknown>>;

/** All that are given, also those that are disabled. */
export function givenEndpoints({ settings }: WithSettings): readonly GivenEndpoint[] {
  const value = valueOf(settings[endpointsSetting] ?? '');
  return Array.isArray(value) ? value.map((one: unknown) => Object(one) as GivenEndpoint) : [];
}

/** An endpoint whose deliveries are signed. */
export interface GivenWebhook {
  /** What the variables of its secret and headers begin with, with its name: they stay its own where the list has another order. */
  readonly prefix: string;
  readonly isDisabled: boolean;
}

/** Those that have a name: the check of settings refuses others. */
export function givenWebhooks(parameters: WithSettings): readonly GivenWebhook[] {
  return givenEndpoints(parameters).flatMap(({ name, url, disabled }) =>
    typeof name !== 'string' || String(url).startsWith('arn:')
      ? []
      : [{ prefix: endpointPrefix(name), isDisabled: disabled === true }],
  );
}

/** What the variables of an endpoint begin with, by its name. */
export function endpointPrefix(name: string): string {
  return `${endpointsSetting}_${variablePart(name)}_`;
}

/** Whether there are deliveries to sign. */
export function hasWebhooks(parameters: WithSettings): boolean {
  return givenWebhooks(parameters).some(({ isDisabled }) => !isDisabled);
}

/** The ARNs that the function `events` sends to. */
export function targetArns(parameters: WithSettings, kind: 'sqs' | 'eventbridge'): readonly string[] {
  return eventEndpoints(parameters).flatMap(({ target }) => (target.kind === kind ? [target.arn] : []));
}

/** Functions whose operations make events. The data plane does, too. */
export const writers = [...announcingGroups, 'all', 'gc'] as const satisfies readonly FunctionName[];

/** Whether functions deliver at once. */
export function hasQueue({
  eventQueue,
  ...parameters
}: Pick<Parameters, 'settings' | 'eventQueue'>): boolean {
  return eventQueue && tellsOfEvents(parameters);
}

/** The logical id of the queue that starts the function `events`. */
export const eventQueue = 'EventQueue';

function queueName({ stage }: Pick<Parameters, 'stage'>): string {
  return functionName('events', stage);
}

/** As the setting names it, which the functions need in full. */
export function queueArn(parameters: Pick<Parameters, 'stage'>): Value {
  return sub(`arn:\${AWS::Partition}:sqs:\${AWS::Region}:\${AWS::AccountId}:${queueName(parameters)}`);
}

/** The setting of those that write. */
export function queueSettings(parameters: Parameters): Readonly<Record<string, Value>> {
  return hasQueue(parameters) ? { REGISTRY_NOTIFICATIONS_QUEUE: queueArn(parameters) } : {};
}

export function eventQueues(parameters: Parameters): Template {
  if (!hasQueue(parameters)) return { Resources: {} };
  return {
    Resources: {
      [eventQueue]: {
        Type: 'AWS::SQS::Queue',
        Properties: {
          QueueName: queueName(parameters),
          // A message says "look now" and nothing else; a later look finds all that this one would.
          MessageRetentionPeriod: 600,
          // Lambda takes no less than the timeout of the function.
          VisibilityTimeout: timeoutOf('events'),
          SqsManagedSseEnabled: true,
        },
      },
    },
  };
}
