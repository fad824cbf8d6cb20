import { RegistryError } from '../protocol/errors.ts';
import { StoreUnavailable } from '../storage/store.ts';
import { AccessUnavailable } from '../access/unavailable.ts';
import { noteRequest } from '../request-scope.ts';
import { AccessRefused } from './authorization.ts';
import type { Exchange } from './exchange.ts';
import { requestTarget } from './request-target.ts';
import type { Services } from './services.ts';

/** Turns an error into a response (OCI Distribution Spec, "Error Codes"). */
export function respondWithError(
  { log, warnForeignSignature }: Services,
  exchange: Exchange,
  error: unknown,
): void {
  const response = toRegistryError(error);
  const { path } = requestTarget(exchange.req);
  noteRequest({
    code: response.errors[0]?.code,
    ...(error instanceof AccessRefused && { actor: error.refusal.actor }),
  });
  if (isDisconnect(error)) log.info({ path }, 'the client disconnected');
  else if (response.failure === 'BUSY' || response instanceof AccessUnavailable)
    log.warn({ path }, response.message);
  else if (response.failure === 'UPLOAD_STATE_FOREIGN') warnForeignSignature({ path });
  // The cache logs once what many clients are told.
  else if (response.status >= 500 && response.failure !== 'UPSTREAM_UNAVAILABLE')
    log.error({ err: error, path }, 'a request failed');
  exchange.status = response.status;
  for (const [name, value] of Object.entries(response.headers)) exchange.set(name, value);
  // Without a charset, as some clients compare the whole value.
  exchange.set('Content-Type', 'application/json');
  exchange.body = response.body;
}

/** An outage of the store is 503, so that clients retry and do not take it for a missing image. */
function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return error instanceof StoreUnavailable ? new RegistryError('UNAVAILABLE') : new RegistryError('UNKNOWN');
}

/**
 * Discards the rest of a request body for `lingerMs`, so that a client that is still sending can read the response.
 * Closing at once would reset the connection and lose it (RFC 9112, section 9.6).
 */
export function discardUnread({ req, res }: Pick<Exchange, 'req' | 'res'>, lingerMs: number): void {
  if (req.complete) return;
  // Node would close the connection of a client that asked for it with bytes unread, which resets it.
  const staysOpen = res.shouldKeepAlive;
  res.shouldKeepAlive = true;
  req.resume();
  res.once('finish', () => {
    const close = () => {
      req.socket.destroySoon();
    };
    if (!staysOpen) {
      if (req.complete) close();
      else req.once('end', close);
    }
    setTimeout(() => {
      if (!req.complete) req.destroy();
    }, lingerMs).unref();
  });
}

export function isDisconnect(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  // HPE_…, ERR_HTTP2_…: invalid HTTP followed.
  return (
    ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(code) || /^(HPE|ERR_HTTP2)_/.test(code)
  );
}
