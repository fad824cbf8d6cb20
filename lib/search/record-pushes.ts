import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Subscriber } from '../registry/events.ts';
import type { Search } from './search.ts';

export interface RecordPushesOptions {
  /** How long a push waits for the list. */
  readonly timeoutMs: number;
  /** Logs timeouts and failures. */
  readonly warn: (fields: object, message: string) => void;
  /** Called with the outcome of each push. */
  readonly onRecorded?: ((outcome: 'success' | 'failure') => void) | undefined;
}

/**
 * Adds a repository to the list after a tag was pushed. The image is already stored, so a list that is down or slow fails
 * no push; the next reindex adds the name.
 */
export function recordPushes(
  search: Pick<Search, 'backend'>,
  { timeoutMs, warn, onRecorded }: RecordPushesOptions,
): Subscriber {
  const timeoutError = () => new Error(`no response within ${timeoutMs / 1000} s`);
  return async (events) => {
    // All events of an operation have the same repository.
    const name = events.find(({ action }) => action === 'tagged')?.repository;
    if (name === undefined) return;
    const record = search.backend().then(async (backend) => {
      await backend.record(name);
    });
    try {
      await withTimeout(record, timeoutMs, timeoutError);
      onRecorded?.('success');
    } catch (error) {
      onRecorded?.('failure');
      warn({ err: error, name }, 'the list of repositories is stale: it lacks a push until the next reindex');
    }
  };
}
