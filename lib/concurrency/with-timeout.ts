/**
 * Rejects with an error if the promise takes too long. The work itself continues and its result is ignored.
 * @param timeoutError makes the error
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  timeoutMs: number,
  timeoutError: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    // A result that arrived while this process was busy wins over a timer that is due at the same time.
    const expire = () => setImmediate(() => reject(timeoutError()));
    timer = setTimeout(expire, Math.max(0, timeoutMs));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
