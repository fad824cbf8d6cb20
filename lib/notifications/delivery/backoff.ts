/** The longest wait between two deliveries to an endpoint, in milliseconds, unless its settings have a longer first one. */
const maxMs = 5 * 60_000;

/** The longest wait that an endpoint may ask for, in milliseconds. */
const maxRetryAfterMs = 60 * 60_000;

/**
 * How long to wait after a failure, in milliseconds. It is random, so that processes that failed together do not come back together
 * ("full jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 * @param failures in a row, from 1
 * @param backoffMs the longest wait after the first one
 * @param retryAfterMs what the endpoint asked for
 */
export function backoffMs(
  failures: number,
  backoffMs: number,
  retryAfterMs = 0,
  random: () => number = Math.random,
): number {
  const longest = Math.min(backoffMs * 2 ** Math.min(failures - 1, 30), Math.max(maxMs, backoffMs));
  return Math.max(random() * longest, Math.min(retryAfterMs, maxRetryAfterMs));
}
