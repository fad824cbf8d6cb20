import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { RegistryError } from '../protocol/errors.ts';
import type { MemoryBudget } from '../storage/memory-budget.ts';
import type { Exchange } from './exchange.ts';

/** Bytes up to which a response is not counted. Nearly all manifests and lists are smaller. */
const smallBytes = 64 * 1024;

/** Bytes per write, so that the progress of a slow client is visible. */
const sliceBytes = 64 * 1024;

/**
 * Limits the memory of buffered responses while clients read them.
 * @param contendedMs after which a response is cut if others find no memory
 * @returns called with each response before it is sent; throws RegistryError BUSY if the budget is used up
 */
export function limitLargeResponses(memory: MemoryBudget, contendedMs: number): (exchange: Exchange) => void {
  /** With their start times, oldest first. */
  const responses = new Map<ServerResponse, number>();
  const cutLate = () => {
    for (const [response, since] of responses)
      if (performance.now() - since >= contendedMs) response.destroy();
  };
  return (ctx) => {
    const { body } = ctx;
    if (body instanceof Readable || ctx.method === 'HEAD' || Buffer.byteLength(body) <= smallBytes) return;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
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

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += sliceBytes) yield bytes.subarray(at, at + sliceBytes);
}
