import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';

/** Bytes a request announces for its body, if it does. Koa's own reading of it ends at 2 GiB. */
export function contentLength({ headers }: IncomingMessage): number | undefined {
  const announced = headers['content-length'];
  return announced === undefined ? undefined : Number(announced);
}

/** Whether a request has any bytes of a body, found out without taking them: a body of unknown length may be empty. */
export async function hasBody(request: IncomingMessage): Promise<boolean> {
  const announced = contentLength(request);
  if (announced !== undefined) return announced > 0;
  if (request.headers['transfer-encoding'] === undefined) return false;
  if (request.readableLength > 0) return true;
  // One that is all there and empty never becomes readable, it only ends.
  if (!request.complete && !request.readableEnded) await once(request, 'readable');
  return request.readableLength > 0;
}
