import type { ServerResponse } from 'node:http';
import { createScope, inScope, type RequestScope } from '../request-scope.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Exchange } from './exchange.ts';
import type { Services } from './services.ts';

/** Of a response, beyond which Node warns of a leak: logs, metrics, limits, streams and the drain listen for its end. */
const maxListeners = 20;

/** Handles each request in a scope of its own; see {@link RequestScope}. Its id goes out as `X-Request-Id`. */
export async function withScope(
  { clientOf, telemetry }: Pick<Services, 'clientOf' | 'telemetry'>,
  exchange: Exchange,
  work: () => Promise<void>,
): Promise<void> {
  const { req, res, method } = exchange;
  const scope = createScope(method, clientOf(req));
  res.setMaxListeners(maxListeners);
  exchange.set('X-Request-Id', scope.id);
  countSent(res, scope);
  if (telemetry.length > 0) reportRequest(telemetry, scope, res);
  await inScope(scope, work);
}

function reportRequest(telemetry: readonly Telemetry[], scope: RequestScope, res: ServerResponse): void {
  for (const one of telemetry) one.requestStarted?.(scope);
  res.on('close', () => {
    const end = { status: res.statusCode, isComplete: res.writableFinished };
    for (const one of telemetry) one.requestEnded?.(scope, end);
  });
}

const scopeOf = Symbol('scope');
const isEnding = Symbol('isEnding');

/** Node's methods have several forms, whose first argument is the bytes or none. */
interface Counted {
  [scopeOf]?: RequestScope;
  [isEnding]?: boolean;
  write: (this: Counted, ...parameters: readonly unknown[]) => unknown;
  end: (this: Counted, ...parameters: readonly unknown[]) => unknown;
}

/**
 * Counts the bytes of a response's body, but not those that were left when the client disconnected. All responses share the two
 * methods, since closures of each would cost more than the counting.
 */
function countSent(response: ServerResponse, scope: RequestScope): void {
  const counted = response as unknown as Counted;
  counted[scopeOf] = scope;
  counted.write = countWrite;
  counted.end = countEnd;
  response.on('close', () => {
    if (!response.writableFinished) scope.bytesSent = Math.max(0, scope.bytesSent - response.writableLength);
  });
}

function countWrite(this: Counted, ...parameters: readonly unknown[]): unknown {
  if (this[isEnding] !== true) count(this[scopeOf], parameters[0]);
  return inherited(this).write.apply(this, parameters as unknown[]);
}

function countEnd(this: Counted, ...parameters: readonly unknown[]): unknown {
  // HTTP/2's `end` writes its bytes by `write`, HTTP/1's does not.
  this[isEnding] = true;
  count(this[scopeOf], parameters[0]);
  return inherited(this).end.apply(this, parameters as unknown[]);
}

function inherited(response: Counted): Counted {
  return Object.getPrototypeOf(response) as Counted;
}

function count(scope: RequestScope | undefined, piece: unknown): void {
  if (scope === undefined) return;
  if (typeof piece === 'string') scope.bytesSent += Buffer.byteLength(piece);
  else if (piece instanceof Uint8Array) scope.bytesSent += piece.byteLength;
}
