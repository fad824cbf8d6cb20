import type { EventContext } from '../events.ts';
import type { Change } from './change.ts';

/** The process that makes a change. */
export interface Source {
  /** Its host and port, or the name of its function. */
  readonly address: string;
  /** A UUID of the process. */
  readonly instance: string;
}

/** A change that is going to be made. Its object is in the bucket before the change can be seen. */
export interface Intent {
  /** A UUID, the same in each attempt. */
  readonly id: string;
  /** When the write began, by the clock that dates objects. */
  readonly at: Date;
  readonly change: Change;
  readonly context: EventContext;
  readonly source: Source;
}
