import { setTimeout as delay } from 'node:timers/promises';
import type { Services } from '../http/services.ts';

const retryDelayMs = 60_000;

/** Reindexes in the background and retries until it succeeds. @returns a function that aborts it and waits for its end */
export function reindexInBackground(
  services: Pick<Services, 'search' | 'log'>,
  delayMs = retryDelayMs,
): () => Promise<void> {
  const stop = new AbortController();
  const work = reindexUntilDone(services, delayMs, stop.signal);
  return async () => {
    stop.abort();
    await work;
  };
}

async function reindexUntilDone(
  { search, log }: Pick<Services, 'search' | 'log'>,
  delayMs: number,
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
      log.error({ err: error }, `the reindex failed; the next attempt is in ${delayMs / 1000} s`);
      await delay(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** A call, since the compiler assumes that the value from before an await still holds. */
function isAborted({ aborted }: AbortSignal): boolean {
  return aborted;
}
