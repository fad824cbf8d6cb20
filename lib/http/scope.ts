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
  const scope = createScope(method, clientOf(req), String(req.headers['cdn-loop'] ?? ''));
  res.setMaxListeners(maxListeners);
  exchange.set('X-Request-Id', scope.id);
  // What is counted as sent when it is handed to Node.
  res.on('close', () => {
    if (!res.writableFinished) scope.bytesSent = Math.max(0, scope.bytesSent - res.writableLength);
  });
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
