import { setTimeout as delay } from 'node:timers/promises';
import type { RepositoryName } from '../lib/protocol/names.ts';
import type { Services } from './services.ts';

/**
 * Puts a repository on the list after a tag was pushed to it. The image is stored: a list that is down or slow fails
 * nothing, and the next reindex puts it right.
 */
export async function recordPush(
  { search, log, limits }: Pick<Services, 'search' | 'log' | 'limits'>,
  name: RepositoryName,
): Promise<void> {
  const timer = new AbortController();
  const late = delay(limits.record, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`it did not answer within ${limits.record / 1000} s`);
  });
  const record = search.backend().then(async (backend) => {
    await backend.record(name);
  });
  try {
    await Promise.race([record, late]);
  } catch (error) {
    log.warn(
      { err: error, name },
      'the list of repositories is behind: a push is not in it until the next reindex',
    );
  } finally {
    timer.abort();
    for (const one of [record, late]) one.catch(() => undefined);
  }
}
