import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection over which a test says just what it wants, HTTP or not. @param localAddress where it comes from */
export async function dial(url: string, localAddress?: string): Promise<Socket> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), ...(localAddress !== undefined && { localAddress }) });
  await once(socket, 'connect');
  // A connection that is cut is what some tests want.
  socket.on('error', () => undefined);
  return socket;
}

/** Everything that came until the server closed the connection. */
export async function rest(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => (text += more));
  // A reset is an end as well.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

/** A request's line and headers. @param path what follows the host in a URL */
export function head(method: string, path: string, ...headers: readonly string[]): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: registry', ...headers, '', ''].join('\r\n');
}

/** The path and query of a URL. */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}
