import type { RegistryEvent } from './events.ts';
import { notificationsOfEvents } from './notifications-of-events.ts';
import type { Notification } from './notification.ts';
import type { Source } from './outbox/intent.ts';
import type { Subscriber } from './subscriber.ts';

export type Publish = (events: readonly RegistryEvent[]) => Promise<void>;

/**
 * Tells the parts of a process of the events of an operation, in order, and resolves when all have done what they do about them. The
 * client waits for it. A part that fails affects neither the operation nor the others.
 * @param onError receives what a subscriber throws against its contract
 */
export function createPublisher(
  subscribers: readonly Subscriber[],
  source: Source,
  onError: (subscriber: string, error: unknown) => void,
): Publish {
  const tell = async (subscriber: Subscriber, notification: Notification) => {
    try {
      if (subscriber.takes(notification)) await subscriber.deliver(notification);
    } catch (error) {
      onError(subscriber.name, error);
    }
  };
  return async (events) => {
    const notifications = notificationsOfEvents(events, source);
    await Promise.all(
      notifications.flatMap((notification) =>
        subscribers.map(async (subscriber) => {
          await tell(subscriber, notification);
        }),
      ),
    );
  };
}
