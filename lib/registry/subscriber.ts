import type { Notification } from './notification.ts';

/** What became of a delivery. */
export type Delivery = {
  /** Of HTTP, with its text, as in `200 OK`; undefined if there was no response. */
  readonly status?: string | undefined;
} & (
  | { readonly outcome: 'taken' }
  /** It may be taken later: no connection, a timeout, 408, 429, 5xx. */
  | {
      readonly outcome: 'failed';
      /** For the log. */
      readonly reason: string;
      /** What the subscriber asks for. */
      readonly retryAfterMs?: number | undefined;
    }
  /** The subscriber will not take this one: any other status. */
  | {
      readonly outcome: 'refused';
      readonly reason: string;
      /** Whether it is what the event says that is refused, so that longer waits would not help. Default: false. */
      readonly isAboutEvent?: boolean;
    }
);

/**
 * Somebody who is told of events: a part of this process, such as the list of repositories, or an endpoint. A part of the process is told
 * once, before the response, and logs what it fails to do. Endpoints are told of changes from the outbox, until they have taken them.
 */
export interface Subscriber {
  /** Of an endpoint `[A-Za-z0-9_-]{1,64}`, which is part of keys in the bucket. */
  readonly name: string;
  /** Whether it is told of an event. */
  takes(notification: Pick<Notification, 'action' | 'change'>): boolean;
  /** Never rejects. */
  deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery>;
}
