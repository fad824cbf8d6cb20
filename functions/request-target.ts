import type { IncomingMessage } from 'node:http';

/**
 * A request's path, with its escapes, and its query. Split as text: parsers of URLs resolve dots, and throw at targets
 * that a client has made up.
 */
export function requestTarget({ url = '/' }: IncomingMessage): {
  readonly path: string;
  readonly query: string;
} {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}
