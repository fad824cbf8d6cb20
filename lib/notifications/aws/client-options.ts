/**
 * Options of AWS clients. A delivery is one attempt, since failed ones are repeated by whoever delivers.
 * @param timeoutMs of a delivery
 */
export function clientOptions(region: string, timeoutMs: number) {
  return {
    region,
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
    },
  };
}
