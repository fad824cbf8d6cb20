import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Middleware } from 'koa';
import { RegistryError } from '../protocol/errors.ts';
import type { MemoryBudget } from '../storage/memory-budget.ts';

/** Bytes up to which a response is not counted. Nearly all manifests and lists are smaller. */
const smallBytes = 64 * 1024;

/** Bytes per write, so that the progress of a slow client is visible. */
const sliceBytes = 64 * 1024;

/**
 * Limits the memory of buffered responses while clients read them.
 * @param contendedMs after which a response is cut if others find no memory
 * @throws RegistryError BUSY if the budget is used up
 */
export function limitLargeResponses(memory: MemoryBudget, contendedMs: number): Middleware {
  /** With their start times, oldest first. */
  const responses = new Map<ServerResponse, number>();
  const cutLate = () => {
    for (const [response, since] of responses)
      if (performance.now() - since >= contendedMs) response.destroy();
  };
  return async (ctx, next) => {
    await next();
    const whole = wholeBody(ctx.body);
    if (whole === undefined || ctx.method === 'HEAD' || Buffer.byteLength(whole) <= smallBytes) return;
    const bytes = typeof whole === 'string' ? Buffer.from(whole) : whole;
    // The client has disconnected, so no `close` would release the memory.
    if (ctx.res.destroyed) return;
    if (!memory.take(bytes.byteLength)) {
      cutLate();
      throw new RegistryError('BUSY', 'the registry is sending as many large answers as it can; try again');
    }
    responses.set(ctx.res, performance.now());
    ctx.res.once('close', () => {
      responses.delete(ctx.res);
      memory.give(bytes.byteLength);
    });
    ctx.body = Readable.from(slices(bytes), { objectMode: false, highWaterMark: 1 });
    ctx.length = bytes.byteLength;
  };
}

function wholeBody(body: unknown): Buffer | string | undefined {
  if (typeof body === 'string' || Buffer.isBuffer(body)) return body;
  const isJson = typeof body === 'object' && body !== null && !(body instanceof Readable);
  return isJson ? JSON.stringify(body) : undefined;
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += sliceBytes) yield bytes.subarray(at, at + sliceBytes);
}
