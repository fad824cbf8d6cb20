import { asFields, fieldsOf } from '../../registry/json-fields.ts';
import type { ObjectInfo } from '../../storage/store.ts';
import type { Notification } from '../../registry/notification.ts';

const version = 1;

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

/** @returns undefined for what is none, or is of a later release */
export function parseNotification(
  bytes: Buffer,
): { readonly notification: Notification; readonly givenUp: GivenUp | undefined } | undefined {
  const { version: written, notification, givenUp } = fieldsOf(bytes) ?? {};
  const fields = asFields(notification);
  const at = new Date(String(fields?.['at']));
  const isWhole = ['change', 'context', 'source'].every((name) => asFields(fields?.[name]) !== undefined);
  if (written !== version || typeof fields?.['id'] !== 'string' || !isWhole || Number.isNaN(at.getTime()))
    return undefined;
  const { reason, at: givenUpAt } = asFields(givenUp) ?? {};
  return {
    notification: { ...(fields as unknown as Notification), at },
    givenUp: typeof reason === 'string' ? { reason, at: new Date(String(givenUpAt)) } : undefined,
  };
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
