import type { PendingIntent } from '../../registry/outbox/pending.ts';
import type { Resolution } from '../../registry/outbox/resolution.ts';

/** What writes have left to be told: lib/registry/outbox. */
export interface PendingWrites {
  /** Those that there are now, in the order of delivery; as many at a time as may be in memory. */
  list(): AsyncIterable<readonly PendingIntent[]>;
  /** What became of some, in their order. @param writes as listed at a time */
  resolve(writes: readonly PendingIntent[]): Promise<readonly Resolution[]>;
}
