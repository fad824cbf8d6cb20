import { withTimeout } from '../concurrency/with-timeout.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { Source } from './sources.ts';

/** Milliseconds that a client waits for the upstream if there is something to answer without it. */
const staleAfterMs = 5_000;

/** What an upstream is asked, if it comes in time. It goes on if it takes longer. @throws UpstreamError unavailable */
export async function beforeStale<T>({ upstream }: Source, asked: Promise<T>): Promise<T> {
  return await withTimeout(asked, staleAfterMs, () => {
    const message = `${upstream.host} has not answered within ${staleAfterMs} ms`;
    return new UpstreamError('unavailable', message);
  });
}
