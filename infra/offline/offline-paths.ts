/*
 * Preloaded for serverless-offline, which normalizes dots, backslashes and percent-encodings in paths, so that a function
 * never sees the original. Paths that the registry rejects are rejected here.
 */
import { Server, type IncomingMessage, type ServerResponse } from 'node:http';
import { requestTarget } from '../../lib/http/request-target.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseRoute } from '../../lib/protocol/routes.ts';

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its server below
const { emit } = Server.prototype;

Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
  const [request, response] = args as [IncomingMessage, ServerResponse];
  const refusal = event === 'request' ? refusalOf(request) : undefined;
  if (refusal === undefined) return Reflect.apply(emit, this, [event, ...args]) as boolean;
  response.writeHead(refusal.status, { 'content-type': 'application/json', connection: 'close' });
  response.end(refusal.body);
  return true;
};

function refusalOf(request: IncomingMessage): RegistryError | undefined {
  const { path } = requestTarget(request);
  if (!/[%\\#]|\/\.{1,2}(?:\/|$)/.test(path)) return undefined;
  try {
    parseRoute(path);
    return undefined;
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
}
