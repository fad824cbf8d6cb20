import { maxHeaderSize } from 'node:http';
import { RegistryError } from '../../protocol/errors.ts';
import { validHost } from '../valid-requests.ts';
import type { StreamRequest, StreamResponse } from './messages.ts';

/** The error of a request that nghttp2 has accepted and HTTP/1.1 would not be. */
export function errorOf({ headers, rawHeaders, url }: StreamRequest): RegistryError | undefined {
  const size = rawHeaders.reduce((sum, text) => sum + text.length, 0);
  if (size > maxHeaderSize) return new RegistryError('HEADERS_TOO_LARGE');
  const { host, ':authority': authority = host } = headers;
  if (host === undefined || host !== authority || !validHost.test(host))
    return new RegistryError('REQUEST_INVALID', 'the host must be there once, and perhaps with a port');
  // RFC 9113, section 8.3.1. The URL of a foreign scheme could have a password, which would be logged.
  if (!url.startsWith('/') && url !== '*')
    return new RegistryError('REQUEST_INVALID', 'the path of a request begins with a slash (/)');
  return url.includes('#')
    ? new RegistryError('REQUEST_INVALID', 'the target of a request has no fragment (#)')
    : undefined;
}

/** Responds in the form of the spec. */
export function refuse(response: StreamResponse, { status, body }: RegistryError): void {
  response.req.resume();
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(body);
}
