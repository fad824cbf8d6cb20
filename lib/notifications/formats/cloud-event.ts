import type { Notification } from '../../registry/notification.ts';
import {
  distributionEvent,
  originOf,
  type DistributionEvent,
  type EventOptions,
} from './distribution-event.ts';

/** CloudEvents 1.0 in the JSON format (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  /** As {@link eventType}. */
  readonly type: string;
  /** The registry: its URL, or the address of the process for what a command did. */
  readonly source: string;
  /** `<repository>:<tag>`, `<repository>@<digest>` or `<repository>`. */
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  /** As distribution has it, and whether a cache could not ask its upstream whether the tag that was pulled has moved. */
  readonly data: Omit<DistributionEvent, 'id' | 'timestamp'> & { readonly stale?: true };
}

/** The media type of an event in structured mode. */
export const cloudEventType = 'application/cloudevents+json; charset=utf-8';

/**
 * What happened to what, as `stowage.manifest.pushed`: `manifest` or `blob`, then `pushed` or `pulled`; `stowage.blob.mounted`; and
 * `manifest`, `tag`, `blob` or `repository`, then `deleted`.
 */
export function eventType({ change, tag }: Notification): string {
  const content = change.action === 'deleted' && tag !== undefined ? 'tag' : change.content;
  return `stowage.${content}.${change.action}`;
}

export function cloudEvent(notification: Notification, options: EventOptions): CloudEvent {
  const { id, timestamp, ...data } = distributionEvent(notification, options);
  return {
    specversion: '1.0',
    id,
    type: eventType(notification),
    source: originOf(notification, options) ?? `//${notification.source.address}`,
    subject: subjectOf(data.target),
    time: timestamp,
    datacontenttype: 'application/json',
    data: isStale(notification) ? { ...data, stale: true } : data,
  };
}

function isStale({ change }: Notification): boolean {
  return change.action === 'pulled' && change.isStale === true;
}

function subjectOf({ repository, digest, tag }: DistributionEvent['target']): string {
  if (tag !== undefined) return `${repository}:${tag}`;
  return digest === undefined ? repository : `${repository}@${digest}`;
}
