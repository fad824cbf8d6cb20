import type { Subscriber } from '../registry/subscriber.ts';

/** A subscriber outside this process, which is told of changes until it has taken them. */
export interface Endpoint extends Subscriber {
  /** How often a refused notification is delivered before it is given up. */
  readonly threshold: number;
  /** The longest wait after a first failure, in milliseconds. It doubles with each further failure. */
  readonly backoffMs: number;
}
