import type { Reference } from '../../registry/outbox/change.ts';
import type { Notification } from '../../registry/notification.ts';

/** As distribution 3 and 2.8 send it: the fields in the order of 3, and those of deletes without empty ones, as 2.8. */
export interface DistributionEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly action: Notification['action'];
  readonly target: Target;
  readonly request: {
    readonly id: string;
    /** Of the client. distribution adds its port. */
    readonly addr?: string | undefined;
    readonly host?: string | undefined;
    readonly method: string;
    readonly useragent: string;
  };
  readonly actor: { readonly name?: string | undefined };
  readonly source: { readonly addr: string; readonly instanceID: string };
}

interface Target {
  readonly mediaType?: string;
  readonly digest?: string;
  /** Bytes. */
  readonly size?: number | undefined;
  /** The same as `size`. */
  readonly length?: number | undefined;
  readonly repository: string;
  readonly fromRepository?: string;
  readonly url?: string | undefined;
  readonly tag?: string | undefined;
  readonly references?: readonly Reference[] | undefined;
}

/** What a set-up says about the content of events. */
export interface EventOptions {
  /** Where clients find this registry, as `https://registry.example.com`; by default the host that the request of a change asked. */
  readonly origin?: string | undefined;
  /** Before `/v2/` in URLs. */
  readonly prefix?: string | undefined;
  /** Whether pushed manifests come with the descriptors that they name: distribution's `notifications.events.includereferences`. */
  readonly includeReferences?: boolean | undefined;
}

/** The media type of {@link envelopeOf}. */
export const envelopeType = 'application/vnd.docker.distribution.events.v2+json';

/** distribution's body of one event. */
export function envelopeOf(event: DistributionEvent): { readonly events: readonly DistributionEvent[] } {
  return { events: [event] };
}

/** The media type of an event's target, as filters compare it; undefined for a delete. */
export function targetMediaType({ change }: Pick<Notification, 'change'>): string | undefined {
  if (change.action === 'deleted') return undefined;
  return 'mediaType' in change ? change.mediaType : 'application/octet-stream';
}

/** Where clients find the registry; undefined for what a command did, unless the settings say it. */
export function originOf({ context }: Notification, { origin }: EventOptions): string | undefined {
  const { host, protocol } = context.request;
  return origin ?? (host === '' ? undefined : `${protocol}://${host}`);
}

/** An event as distribution has it. Undefined fields do not appear in its JSON. */
export function distributionEvent(notification: Notification, options: EventOptions): DistributionEvent {
  const { id, at, action, context, source } = notification;
  const { request } = context;
  return {
    id,
    timestamp: at.toISOString(),
    action,
    target: targetOf(notification, options),
    request: {
      id: request.id,
      addr: request.address,
      host: request.host === '' ? undefined : request.host,
      method: request.method,
      useragent: request.userAgent,
    },
    actor: { name: context.actor },
    source: { addr: source.address, instanceID: source.instance },
  };
}

function targetOf(notification: Notification, options: EventOptions): Target {
  const { change, tag } = notification;
  const { repository } = change;
  if (change.action === 'deleted') {
    if (tag !== undefined) return { repository, tag };
    return 'digest' in change && change.digest !== undefined
      ? { digest: change.digest, repository }
      : { repository };
  }
  return {
    mediaType: targetMediaType(notification) ?? '',
    digest: change.digest,
    size: change.size,
    length: change.size,
    repository,
    ...(change.action === 'mounted' && { fromRepository: change.from }),
    url: urlOf(notification, options),
    tag,
    references:
      options.includeReferences === true && 'references' in change && change.references.length > 0
        ? change.references
        : undefined,
  };
}

function urlOf(notification: Notification, options: EventOptions): string | undefined {
  const { change } = notification;
  const origin = originOf(notification, options);
  if (origin === undefined || !('digest' in change)) return undefined;
  const kind = change.content === 'blob' ? 'blobs' : 'manifests';
  return `${origin}${options.prefix ?? ''}/v2/${change.repository}/${kind}/${change.digest}`;
}
