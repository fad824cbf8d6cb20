/**
 * What is coming, unless it takes too long: then it goes on, and is not heard any more.
 * @param late the error that it is then
 */
export async function withTimeout<T>(
  coming: Promise<T>,
  milliseconds: number,
  late: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        // What has come while this process was busy is looked at first: it came in time.
        setImmediate(() => {
          reject(late());
        });
      },
      Math.max(0, milliseconds),
    );
  });
  try {
    return await Promise.race([coming, end]);
  } finally {
    clearTimeout(timer);
  }
}
