// Only this: the rest of the package is twice as large and not needed.
import Pool from 'undici/lib/dispatcher/pool.js';
import {
  connectTimeoutMs,
  idleTimeoutMs,
  maxConnections,
  unusedTimeoutMs,
  type Connections,
} from './connections.ts';

/** Connections to a server. @param skipVerify accepts any certificate */
export function openPool(origin: string, skipVerify: boolean): Connections {
  const pool = new Pool(origin, {
    connections: maxConnections,
    // What waits for a response has a timeout of its own, which includes the wait for a connection.
    headersTimeout: 0,
    bodyTimeout: idleTimeoutMs,
    keepAliveTimeout: unusedTimeoutMs,
    connect: { timeout: connectTimeoutMs, rejectUnauthorized: !skipVerify },
  });
  return {
    dispatch: ({ method, path, headers, body, streams }, handler) => {
      pool.dispatch(
        {
          ...{ method, path, headers, body },
          // Otherwise a connection is closed after each HEAD.
          reset: false,
          // What is read into memory has a timeout for the whole.
          ...(!streams && { bodyTimeout: 0 }),
        },
        handler,
      );
    },
    destroy: () => {
      pool.destroy().catch(() => undefined);
    },
  };
}
