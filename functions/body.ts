import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { RegistryError } from '../lib/protocol/errors.ts';
import { inTime } from './in-time.ts';
import type { Limits } from './limits.ts';

/** Bytes a request announces for its body, if it does. Koa's own reading of it ends at 2 GiB. */
export function contentLength({ headers }: IncomingMessage): number | undefined {
  const announced = headers['content-length'];
  return announced === undefined ? undefined : Number(announced);
}

/**
 * Whether a request has any bytes of a body, found out without taking them: a body of unknown length may be empty.
 * @throws RegistryError TOO_SLOW
 */
export async function hasBody(request: IncomingMessage, { within }: Limits['pace']): Promise<boolean> {
  const announced = contentLength(request);
  if (announced !== undefined) return announced > 0;
  if (request.headers['transfer-encoding'] === undefined) return false;
  if (request.readableLength > 0) return true;
  // One that is all there and empty never becomes readable, it only ends.
  if (!request.complete && !request.readableEnded) await inTime(once(request, 'readable'), within, tooSlow);
  return request.readableLength > 0;
}

/**
 * The bytes of a request's body, as long as they come at a pace. One who stops reading early may still answer: the
 * connection stays.
 * @throws RegistryError TOO_SLOW
 */
export async function* bodyOf(
  request: IncomingMessage,
  pace: Limits['pace'],
): AsyncGenerator<Uint8Array, void> {
  const pieces = request.iterator({ destroyOnReturn: false }) as AsyncGenerator<Buffer, void>;
  let [waited, received] = [0, 0];
  let late = true;
  try {
    for (;;) {
      const began = performance.now();
      const piece = await inTime(pieces.next(), pace.within - waited, tooSlow);
      if (piece.done === true) break;
      waited += performance.now() - began;
      received += piece.value.byteLength;
      if (received >= pace.bytes) [waited, received] = [0, 0];
      late = false;
      yield piece.value;
      late = true;
    }
  } finally {
    // It would wait for the piece that does not come.
    if (!late) await pieces.return();
  }
}

const tooSlow = () => new RegistryError('TOO_SLOW');
