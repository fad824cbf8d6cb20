import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Exchange } from '../http/exchange.ts';
import { requestTarget } from '../http/request-target.ts';
import { requestScope, type RequestScope } from '../request-scope.ts';
import type { AccessLog } from './access-log.ts';

/** Longest user agent that is logged, in characters. */
const maxAgent = 256;

/** Logs one line for each request, except for probes. Never its query, which carries authority in upload and signed URLs. */
export function logRequests(log: AccessLog): (exchange: Exchange) => void {
  return ({ req, res }) => {
    const scope = requestScope();
    if (scope === undefined) return;
    res.on('close', () => {
      if (scope.route?.group !== 'health') log(lineOf(scope, req, res));
    });
  };
}

function lineOf(scope: RequestScope, req: IncomingMessage, res: ServerResponse): object {
  const { id, client, route, actor, code, startMs } = scope;
  return {
    id,
    address: client.address,
    agent: req.headers['user-agent']?.slice(0, maxAgent),
    actor,
    method: scope.method,
    path: requestTarget(req).path,
    repository: route !== undefined && 'name' in route ? route.name : undefined,
    status: res.statusCode,
    code,
    milliseconds: Math.round(performance.now() - startMs),
    received: scope.bytesReceived,
    sent: scope.bytesSent,
    bucketRequests: scope.bucketRequests,
    cut: res.writableFinished ? undefined : true,
  };
}
