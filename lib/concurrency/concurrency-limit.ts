import { RegistryError } from '../protocol/errors.ts';
import { Semaphore } from './semaphore.ts';

export interface QueueLimits {
  /** How many may wait. */
  readonly queueLimit?: number;
  /** Milliseconds that one waits. */
  readonly timeoutMs?: number;
}

/**
 * Lets a number of tasks run at once. Others wait for a while, in a queue that has a limit as well. Who waits for too long, or
 * may not wait, gets RegistryError BUSY.
 */
export class ConcurrencyLimit extends Semaphore {
  constructor(count: number, { queueLimit = 1_000, timeoutMs = 30_000 }: QueueLimits = {}) {
    super(count, { queueLimit, timeoutMs, busy: () => new RegistryError('BUSY') });
  }
}
