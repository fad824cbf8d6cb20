import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Subscriber } from '../registry/events.ts';
import type { Search } from './search.ts';

export interface RecordPushesOptions {
  /** How long a push waits for the list. */
  readonly timeoutMs: number;
  /** Is told of what a push does not wait for any more, and of what has failed. */
  readonly warn: (fields: object, message: string) => void;
}

/**
 * Puts a repository on the list after a tag was pushed to it. The image is stored: a list that is down or slow fails
 * nothing, and the next reindex puts it right.
 */
export function recordPushes(
  search: Pick<Search, 'backend'>,
  { timeoutMs, warn }: RecordPushesOptions,
): Subscriber {
  const late = () => new Error(`it did not answer within ${timeoutMs / 1000} s`);
  return async (events) => {
    // All of an operation are about one repository.
    const name = events.find(({ action }) => action === 'tagged')?.repository;
    if (name === undefined) return;
    const record = search.backend().then(async (backend) => {
      await backend.record(name);
    });
    try {
      await withTimeout(record, timeoutMs, late);
    } catch (error) {
      warn(
        { err: error, name },
        'the list of repositories is behind: a push is not in it until the next reindex',
      );
    }
  };
}
