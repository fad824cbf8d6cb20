import { UpstreamError } from '../upstream/upstream.ts';

/** The least that an upstream must send, of the time that is spent waiting for it: 8 KiB a second. */
export interface MinimumRate {
  readonly bytes: number;
  readonly withinMs: number;
}

export const usualRate: MinimumRate = { bytes: 480 * 1024, withinMs: 60_000 };

/**
 * The bytes of an upstream, as long as they do not drip. The time that their reader takes does not count.
 * @param body fails by itself if nothing comes for some time
 * @param host of the upstream
 * @throws UpstreamError unavailable
 */
export async function* keepingRate(
  body: AsyncIterable<Buffer>,
  host: string,
  { bytes: least, withinMs }: MinimumRate = usualRate,
): AsyncGenerator<Buffer, void> {
  let [received, waitedMs] = [0, 0];
  let asked = performance.now();
  for await (const piece of body) {
    received += piece.byteLength;
    waitedMs += performance.now() - asked;
    if (waitedMs >= withinMs) {
      if (received < least)
        throw new UpstreamError(
          'unavailable',
          `${host} sends too slowly: ${received} bytes in ${Math.round(waitedMs / 1000)} s`,
        );
      [received, waitedMs] = [0, 0];
    }
    yield piece;
    asked = performance.now();
  }
}
