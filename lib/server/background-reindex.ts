import { setTimeout as delay } from 'node:timers/promises';
import type { Services } from '../http/services.ts';

/** Milliseconds until a reindex that failed is tried again. */
const pause = 60_000;

/**
 * Makes the list of repositories that of the bucket beside what a server does, and tries again until that has succeeded.
 * @returns what gives it up, and resolves when it has ended
 */
export function reindexInBackground(
  services: Pick<Services, 'search' | 'log'>,
  pauseBetween = pause,
): () => Promise<void> {
  const stop = new AbortController();
  const work = reindexUntilDone(services, pauseBetween, stop.signal);
  return async () => {
    stop.abort();
    await work;
  };
}

async function reindexUntilDone(
  { search, log }: Pick<Services, 'search' | 'log'>,
  pauseBetween: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const { readOnly } = await search.backend();
      if (readOnly !== undefined) {
        log.warn(readOnly);
        return;
      }
      const reindexed = await search.reindex({ signal });
      if (reindexed !== undefined) log.info({ reindexed }, 'the list of repositories matches the bucket');
      return;
    } catch (error) {
      if (isAborted(signal)) return;
      log.error(
        { err: error },
        `the list of repositories could not be brought up to date; the next try is in ${pauseBetween / 1000} s`,
      );
      await delay(pauseBetween, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** The compiler takes what it knew of a signal before an await for the truth. */
function isAborted({ aborted }: AbortSignal): boolean {
  return aborted;
}
