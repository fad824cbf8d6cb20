import { repositoryPatternFault } from '../access/policy/patterns.ts';
import { minSecretLength } from './auth.ts';
import { Fields, readEntries } from './entries.ts';
import type { Settings } from './settings.ts';
import { variablePart } from './variables.ts';

/** Who is told of events (docs/events.md). */
export interface NotificationsConfig {
  /** Those that are not disabled. Without any, no event is kept. */
  readonly endpoints: readonly EndpointConfig[];
  /** Whether events of manifests name what the manifest refers to. */
  readonly includeReferences: boolean;
  /** The queue by which functions start a delivery at once; undefined for none. */
  readonly queue: QueueArn | undefined;
}

export const eventActions = ['push', 'pull', 'mount', 'delete'] as const;

export type EventAction = (typeof eventActions)[number];

export interface EndpointConfig {
  /** `[A-Za-z][A-Za-z0-9_-]{0,63}`; each differs from the others not only in case, or in `-` and `_`. */
  readonly name: string;
  readonly target: WebhookTarget | QueueArn | EventBusArn;
  readonly format: 'distribution' | 'cloudevents';
  /** Milliseconds for one delivery. */
  readonly timeoutMs: number;
  /** How often an event is sent that the endpoint refuses. */
  readonly threshold: number;
  /** Milliseconds before the first repetition. */
  readonly backoffMs: number;
  readonly actions: readonly EventAction[];
  readonly ignoredMediaTypes: readonly string[];
  /** Patterns as in a policy, of which one must match; undefined for all repositories. */
  readonly repositories: readonly string[] | undefined;
}

export interface WebhookTarget {
  readonly kind: 'webhook';
  readonly url: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** Each signs every delivery. */
  readonly secrets: readonly string[];
  /** Whether its host may have an address that is not public. */
  readonly privateAddresses: boolean;
}

export interface QueueArn {
  readonly kind: 'sqs';
  readonly arn: string;
  readonly region: string;
  readonly account: string;
  /** The name of the queue. */
  readonly queue: string;
}

export interface EventBusArn {
  readonly kind: 'eventbridge';
  readonly arn: string;
  readonly region: string;
}

/** Bytes of a secret of Standard Webhooks (its specification, "Signature scheme"). */
const minKeyBytes = 24;

export const endpointsSetting = 'REGISTRY_NOTIFICATIONS_ENDPOINTS';

/** Named as in distribution; what it does not have is told in docs/events.md. */
export function readNotifications(settings: Settings, isServer: boolean): NotificationsConfig {
  // Also of those that are disabled: variables go by names.
  const names: string[] = [];
  const entries = readEntries(
    settings,
    endpointsSetting,
    { what: 'endpoints', example: '[{name: builds, url: "https://ci.example.com/events"}]' },
    (fields) => {
      const name = fields.take('name');
      if (typeof name === 'string' && namePattern.test(name)) names.push(name);
      return readEndpoint(fields);
    },
  );
  const parts = names.map(variablePart);
  const twice = names.find((_, i) => parts.indexOf(parts[i] ?? '') < i);
  if (twice !== undefined)
    settings.fault(
      `${endpointsSetting}: two have the name ${twice}, in which case does not count and - counts as _; give one another`,
    );
  return {
    endpoints: entries.filter((one) => one !== undefined),
    includeReferences: settings.flag('REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES', false),
    queue: readQueue(settings, isServer),
  };
}

function readQueue(settings: Settings, isServer: boolean): QueueArn | undefined {
  const name = 'REGISTRY_NOTIFICATIONS_QUEUE';
  const text = settings.text(name);
  if (text === undefined) return undefined;
  if (isServer)
    settings.fault(`${name}: only functions need it, since a server delivers at once itself; remove it`);
  const queue = parseQueue(text);
  if (queue === undefined)
    settings.fault(
      `${name}: must be the ARN of a queue, such as arn:aws:sqs:eu-central-1:123456789012:events`,
    );
  return queue;
}

const namePattern = /^[A-Za-z][\w-]{0,63}$/;

function readEndpoint(fields: Fields): EndpointConfig | undefined {
  if (fields.flag('disabled')) {
    fields.skip();
    return undefined;
  }
  const { mediaTypes, actions } = readIgnored(fields);
  return {
    name: fields.text(
      'name',
      (text) => namePattern.test(text),
      'builds (a letter, then letters, digits, _ and -; 64 at most)',
    ),
    target: readTarget(fields),
    format: fields.choice('format', ['distribution', 'cloudevents']),
    timeoutMs: fields.duration('timeout', '1s', { min: 100, max: 60_000 }),
    threshold: fields.number('threshold', { min: 1, max: 1_000, fallback: 10 }),
    backoffMs: fields.duration('backoff', '1s', { min: 100, max: 3_600_000 }),
    actions: readActions(fields, actions),
    ignoredMediaTypes: [...(fields.texts('ignoredmediatypes', mediaTypeFault) ?? []), ...mediaTypes],
    repositories: fields.texts('repositories', (text) => repositoryPatternFault(text, { ofUser: false })),
  };
}

/** `ignore`, which in distribution has all that an endpoint is not told of. */
function readIgnored(fields: Fields): {
  readonly mediaTypes: readonly string[];
  readonly actions: readonly EventAction[];
} {
  const value = fields.take('ignore') ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    fields.faults.push('ignore must be a map such as {actions: [mount]}');
    return { mediaTypes: [], actions: [] };
  }
  const ignore = new Fields(value);
  const ignored = {
    mediaTypes: ignore.texts('mediatypes', mediaTypeFault) ?? [],
    actions: (ignore.texts('actions', actionFault) ?? []) as readonly EventAction[],
  };
  ignore.finish();
  fields.faults.push(...ignore.faults.map((fault) => `ignore: ${fault}`));
  return ignored;
}

/** Pulls are so many, and can be lost, that they must be asked for. */
function readActions(fields: Fields, ignored: readonly EventAction[]): readonly EventAction[] {
  const asked = (fields.texts('actions', actionFault) ?? [
    'push',
    'mount',
    'delete',
  ]) as readonly EventAction[];
  const actions = asked.filter((action) => !ignored.includes(action));
  if (asked.length > 0 && actions.length === 0)
    fields.faults.push('ignore: leaves no action, so the endpoint is told of nothing; set disabled: true');
  return actions;
}

function actionFault(text: string): string | undefined {
  return (eventActions as readonly string[]).includes(text)
    ? undefined
    : `must have only ${eventActions.join(', ')}`;
}

function mediaTypeFault(text: string): string | undefined {
  return /^[\w.+-]+\/[\w.+-]+$/.test(text)
    ? undefined
    : 'must have media types such as application/octet-stream';
}

/** What only a webhook has. */
const ofWebhooks = ['headers', 'secret', 'privateaddresses'];

const isArn = (text: string) => text.startsWith('arn:');

function readTarget(fields: Fields): EndpointConfig['target'] {
  const text = fields.text(
    'url',
    (value) => isArn(value) || (/^https?:\/\//i.test(value) && URL.canParse(value)),
    'https://ci.example.com/events, or the ARN of a queue of SQS or of an event bus',
  );
  if (isArn(text)) return readArn(fields, text);
  const { username = '', password = '', hostname = '' } = URL.parse(text) ?? {};
  if (username + password !== '')
    fields.faults.push('url must not have a user or password; put them into headers, as Authorization');
  if (/^sqs\.[\w-]+\.amazonaws\.com/.test(hostname))
    fields.faults.push(
      'url is that of a queue; name its ARN instead, such as arn:aws:sqs:eu-central-1:123456789012:events',
    );
  return {
    kind: 'webhook',
    url: text,
    headers: fields.headers(),
    secrets: fields.texts('secret', secretFault) ?? [],
    privateAddresses: fields.flag('privateaddresses'),
  };
}

/** What a secret of Standard Webhooks begins with; the rest is base64. */
export const webhookSecretPrefix = 'whsec_';

function secretFault(secret: string): string | undefined {
  if (secret.startsWith(webhookSecretPrefix)) {
    const text = secret.slice(webhookSecretPrefix.length);
    const bytes = Buffer.from(text, 'base64');
    // As the libraries of receivers read it.
    return bytes.toString('base64') === text && bytes.byteLength >= minKeyBytes
      ? undefined
      : `that begins with ${webhookSecretPrefix} must go on with base64 of ${minKeyBytes} bytes at least, such as from: openssl rand -base64 32`;
  }
  return secret.length >= minSecretLength
    ? undefined
    : `must have ${minSecretLength} characters at least, such as from: openssl rand -hex 32`;
}

function readArn(fields: Fields, arn: string): QueueArn | EventBusArn {
  for (const name of ofWebhooks)
    if (fields.take(name) !== undefined) fields.faults.push(`${name} has no effect with an ARN; remove it`);
  const target = parseQueue(arn) ?? parseBus(arn);
  if (target === undefined)
    fields.faults.push(
      'url must be an ARN such as arn:aws:sqs:eu-central-1:123456789012:events or arn:aws:events:eu-central-1:123456789012:event-bus/default',
    );
  return target ?? { kind: 'eventbridge', arn, region: '' };
}

const account = String.raw`arn:aws[\w-]*:SERVICE:([a-z0-9-]+):(\d{12})`;

function parseQueue(arn: string): QueueArn | undefined {
  const form = new RegExp(`^${account.replace('SERVICE', 'sqs')}:([\\w-]{1,80}(?:\\.fifo)?)$`);
  const [, region, owner, queue] = form.exec(arn) ?? [];
  if (region === undefined || owner === undefined || queue === undefined) return undefined;
  return { kind: 'sqs', arn, region, account: owner, queue };
}

function parseBus(arn: string): EventBusArn | undefined {
  const form = new RegExp(`^${account.replace('SERVICE', 'events')}:event-bus/[\\w./-]{1,256}$`);
  const [, region] = form.exec(arn) ?? [];
  return region === undefined ? undefined : { kind: 'eventbridge', arn, region };
}
