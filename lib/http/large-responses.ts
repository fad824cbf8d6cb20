import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Middleware } from 'koa';
import { RegistryError } from '../protocol/errors.ts';
import type { MemoryBudget } from '../storage/memory-budget.ts';

/** Bytes of a response that need no claim. Nearly all manifests and lists are smaller. */
const small = 64 * 1024;

/** Bytes of one write, so that it can be seen how much of a response a slow client takes. */
const sliceSize = 64 * 1024;

/**
 * Limits what responses that are whole in memory take there while their clients read them.
 * @param within milliseconds a client has for one while others find no memory; then it is cut
 * @throws RegistryError BUSY when all such responses together have what they may
 */
export function limitLargeResponses(memory: MemoryBudget, within: number): Middleware {
  /** When they began, in that order. */
  const responses = new Map<ServerResponse, number>();
  const cutLate = () => {
    for (const [response, since] of responses) if (performance.now() - since >= within) response.destroy();
  };
  return async (ctx, next) => {
    await next();
    const bytes = wholeBody(ctx.body);
    if (bytes === undefined || bytes.byteLength <= small || ctx.method === 'HEAD') return;
    // Its client has hung up meanwhile: it would not close again, which gives the memory back.
    if (ctx.res.destroyed) return;
    if (!memory.take(bytes.byteLength)) {
      cutLate();
      throw new RegistryError('BUSY', 'the registry is sending as many large answers as it can; try again');
    }
    responses.set(ctx.res, performance.now());
    // With those of a stream that is piped to it they are one more than Node warns of.
    ctx.res.setMaxListeners(ctx.res.getMaxListeners() + 1);
    ctx.res.once('close', () => {
      responses.delete(ctx.res);
      memory.give(bytes.byteLength);
    });
    ctx.body = Readable.from(slices(bytes), { objectMode: false, highWaterMark: 1 });
    ctx.length = bytes.byteLength;
  };
}

function wholeBody(body: unknown): Buffer | undefined {
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  const isJson = typeof body === 'object' && body !== null && !(body instanceof Readable);
  return isJson ? Buffer.from(JSON.stringify(body)) : undefined;
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += sliceSize) yield bytes.subarray(at, at + sliceSize);
}
