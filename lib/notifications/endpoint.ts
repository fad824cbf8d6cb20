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
      /** What the endpoint asks for. */
      readonly retryAfterMs?: number | undefined;
    }
  /** The endpoint will not take this one: any other status. */
  | { readonly outcome: 'refused'; readonly reason: string }
);

/** Somebody who is told of events. */
export interface Endpoint {
  /** `[A-Za-z0-9_-]{1,64}`; part of keys in the bucket. */
  readonly name: string;
  /** Whether it is told of an event, by its filter of repositories, actions and media types. */
  takes(notification: Pick<Notification, 'action' | 'change'>): boolean;
  /** How often a refused notification is delivered before it is given up. */
  readonly threshold: number;
  /** The longest wait after a first failure, in milliseconds. It doubles with each further failure. */
  readonly backoffMs: number;
  /** Never rejects. */
  deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery>;
}
