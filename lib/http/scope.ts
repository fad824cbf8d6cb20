import type { ServerResponse } from 'node:http';
import type { Context, Middleware } from 'koa';
import { createScope, inScope, type RequestScope } from '../request-scope.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Services } from './services.ts';

/** Handles each request in a scope of its own; see {@link RequestScope}. Its id goes out as `X-Request-Id`. */
export function withScope({ clientOf, telemetry }: Pick<Services, 'clientOf' | 'telemetry'>): Middleware {
  return async (ctx, next) => {
    const scope = createScope(ctx.method, clientOf(ctx.req));
    ctx.set('X-Request-Id', scope.id);
    countSent(ctx.res, scope);
    if (telemetry.length > 0) reportRequest(telemetry, scope, ctx);
    await inScope(scope, next);
  };
}

function reportRequest(telemetry: readonly Telemetry[], scope: RequestScope, { res }: Context): void {
  for (const one of telemetry) one.requestStarted?.(scope);
  res.setMaxListeners(res.getMaxListeners() + 1);
  res.once('close', () => {
    const end = { status: res.statusCode, isComplete: res.writableFinished };
    for (const one of telemetry) one.requestEnded?.(scope, end);
  });
}

/** Node's methods have several forms, whose first argument is the bytes or none. */
interface Sender {
  write: (...parameters: readonly unknown[]) => unknown;
  end: (...parameters: readonly unknown[]) => unknown;
}

/** Counts the bytes of a response's body, but not those that were left when the client disconnected. */
function countSent(response: ServerResponse, scope: RequestScope): void {
  const sender = response as unknown as Sender;
  const count = (piece: unknown) => {
    if (typeof piece === 'string') scope.bytesSent += Buffer.byteLength(piece);
    else if (piece instanceof Uint8Array) scope.bytesSent += piece.byteLength;
  };
  const [write, end] = [sender.write.bind(response), sender.end.bind(response)];
  let isEnding = false;
  sender.write = (...parameters) => {
    if (!isEnding) count(parameters[0]);
    return write(...parameters);
  };
  sender.end = (...parameters) => {
    // HTTP/2's `end` writes its bytes by `write`, HTTP/1's does not.
    isEnding = true;
    count(parameters[0]);
    return end(...parameters);
  };
  // Node warns of more listeners than this.
  response.setMaxListeners(response.getMaxListeners() + 1);
  response.once('close', () => {
    if (!response.writableFinished) scope.bytesSent = Math.max(0, scope.bytesSent - response.writableLength);
  });
}
