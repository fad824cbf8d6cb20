import { isTag } from '../../protocol/tags.ts';
import { asFields, fieldsOf, type Fields } from '../../registry/json-fields.ts';
import { readIntent } from '../../registry/outbox/intent-object.ts';
import type { ObjectInfo } from '../../storage/store.ts';
import type { Notification } from '../../registry/notification.ts';

const version = 1;

const actions = ['push', 'mount', 'delete'] as const;

/** Bytes of one that is read: an intent has 1 MiB at most. */
export const maxStoredSize = 2 * 1024 ** 2;

/** Why and when an event was given up. */
export interface GivenUp {
  readonly reason: string;
  readonly at: Date;
}

/** A notification in the bucket. */
export function serializeNotification(notification: Notification, givenUp?: GivenUp): Buffer {
  return Buffer.from(JSON.stringify({ version, notification, givenUp }));
}

/** @returns undefined for what is none, is damaged, or is of a later release */
export function parseNotification(
  bytes: Buffer,
): { readonly notification: Notification; readonly givenUp: GivenUp | undefined } | undefined {
  const { version: written, notification, givenUp } = fieldsOf(bytes) ?? {};
  const read = readNotification(asFields(notification) ?? {});
  if (written !== version || read === undefined) return undefined;
  const { reason, at: givenUpAt } = asFields(givenUp) ?? {};
  return {
    notification: read,
    givenUp: typeof reason === 'string' ? { reason, at: new Date(String(givenUpAt)) } : undefined,
  };
}

/** One of a pull is never in the bucket. */
function readNotification(fields: Fields): Notification | undefined {
  const { tag } = fields;
  const intent = readIntent(fields);
  const action = actions.find((one) => one === fields['action']);
  if (intent === undefined || action === undefined) return undefined;
  if (tag !== undefined && (typeof tag !== 'string' || !isTag(tag))) return undefined;
  return { ...intent, action, tag };
}

/**
 * The last segment of the key of a notification: listings of its folder have the order of delivery.
 * @param intent of the change
 * @param index of the notification among those of the intent
 */
export function storedName(
  { key, lastModified }: Pick<ObjectInfo, 'key' | 'lastModified'>,
  index: number,
): string {
  const written = String(lastModified.getTime()).padStart(13, '0');
  return `${written}-${key.slice(key.lastIndexOf('/') + 1)}-${String(index).padStart(4, '0')}`;
}
