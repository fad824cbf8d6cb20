import type { IncomingMessage } from 'node:http';

/** Of a URL that is one: a target that is none stays as it is, and is unknown. */
const authority = /^https?:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?(?=[/?]|$)/i;

/**
 * A request's path, with its escapes, and its query. Split as text: parsers of URLs resolve dots, and throw at targets
 * that a client has made up.
 */
export function requestTarget({ url = '/' }: IncomingMessage): {
  readonly path: string;
  readonly query: string;
} {
  // As a client asks a proxy (RFC 9112, section 3.2.2).
  const target = url.replace(authority, '');
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}
