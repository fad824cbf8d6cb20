import type { PendingIntent } from '../../registry/outbox/pending.ts';
import type { Resolution } from '../../registry/outbox/resolution.ts';

/** What writes have left to be told: lib/registry/outbox. */
export interface PendingWrites {
  /** The oldest ones, in the order of delivery; as many as may be in memory. */
  list(): Promise<readonly PendingIntent[]>;
  /** What became of some, in their order. @param writes as listed, from the oldest on */
  resolve(writes: readonly PendingIntent[]): Promise<readonly Resolution[]>;
}
