import type { Delivery } from '../registry/subscriber.ts';

/** What becomes of events for an endpoint, for metrics. */
export type NotificationReport =
  /** There is one for it. */
  | { readonly event: 'received' }
  | { readonly event: 'delivered'; readonly delivery: Delivery }
  /** Some were given up, and are kept in the bucket. */
  | { readonly event: 'dead'; readonly count: number }
  /** It is lost: one of a pull, for which there was no place. */
  | { readonly event: 'dropped' }
  /** How many wait for it, as far as this process knows: of those in the bucket, at most a thousand are counted. */
  | { readonly event: 'waiting'; readonly count: number };

/** Must not throw. */
export type Report = (endpoint: string, report: NotificationReport) => void;
