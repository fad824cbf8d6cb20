import { BodyConnection } from './body-connection.ts';
import { BodyExchange } from './body-exchange.ts';
import { unusedTimeoutMs, type Connections, type LargeReads } from './connections.ts';

/**
 * Connections for large bodies that are not encrypted. Each reads up to half a megabyte at once into a buffer that is used again once
 * it has been sent: Node's HTTP client reads 64 KiB, and copies each chunk into new memory, which took more than half of
 * the CPU time of a download. Callers bound how many there are.
 */
export function openBodyConnections(origin: string, largeReads: LargeReads): Connections {
  const { hostname, port } = new URL(origin);
  const place = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) };
  const all = new Set<BodyConnection>();
  const unused: BodyConnection[] = [];
  const open = () => {
    const connection = new BodyConnection(place, largeReads.least);
    all.add(connection);
    connection.socket.once('close', () => {
      all.delete(connection);
      const at = unused.indexOf(connection);
      if (at >= 0) unused.splice(at, 1);
    });
    return connection;
  };
  return {
    dispatch: (request, handler) => {
      const connection = unused.pop() ?? open();
      const keep = (timeoutMs: number) => {
        connection.rest(Math.min(timeoutMs, unusedTimeoutMs));
        unused.push(connection);
      };
      new BodyExchange(connection, handler, largeReads, keep).send(request);
    },
    destroy: () => {
      for (const { socket } of all) socket.destroy();
    },
  };
}
