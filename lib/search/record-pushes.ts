import { withTimeout } from '../concurrency/with-timeout.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Delivery, Subscriber } from '../registry/subscriber.ts';
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
  // A push of several tags is several events.
  const flights = new SingleFlight<string, Delivery>();
  const record = async (name: RepositoryName): Promise<Delivery> => {
    const recorded = search.backend().then(async (backend) => {
      await backend.record(name);
    });
    try {
      await withTimeout(recorded, timeoutMs, timeoutError);
      onRecorded?.('success');
      return { outcome: 'taken' };
    } catch (error) {
      onRecorded?.('failure');
      warn({ err: error, name }, 'the list of repositories is stale: it lacks a push until the next reindex');
      return { outcome: 'failed', reason: 'the list of repositories cannot be written' };
    }
  };
  return {
    name: 'list of repositories',
    takes: ({ change }) =>
      change.action === 'pushed' && change.content === 'manifest' && change.tags.length > 0,
    deliver: async ({ change: { repository } }) =>
      await flights.run(repository, async () => await record(repository)),
  };
}
