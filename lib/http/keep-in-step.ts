import type { RepositoryName } from '../protocol/names.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Services } from './services.ts';

/**
 * Puts a repository on the list after a tag was pushed to it. The image is stored: a list that is down or slow fails
 * nothing, and the next reindex puts it right.
 */
export async function recordPush(
  { search, log, limits }: Pick<Services, 'search' | 'log' | 'limits'>,
  name: RepositoryName,
): Promise<void> {
  const record = search.backend().then(async (backend) => {
    await backend.record(name);
  });
  const late = () => new Error(`it did not answer within ${limits.record / 1000} s`);
  try {
    await withTimeout(record, limits.record, late);
  } catch (error) {
    log.warn(
      { err: error, name },
      'the list of repositories is behind: a push is not in it until the next reindex',
    );
  }
}
