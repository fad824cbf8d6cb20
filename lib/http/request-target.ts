import type { IncomingMessage } from 'node:http';

const authority = /^https?:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?(?=[/?]|$)/i;

/** The path, still percent-encoded, and the query. Split as text: URL parsers resolve dots and throw on invalid input. */
export function requestTarget({ url = '/' }: IncomingMessage): {
  readonly path: string;
  readonly query: string;
} {
  // Absolute form, as sent to proxies (RFC 9112, section 3.2.2).
  const target = url.replace(authority, '');
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}
