// Only this: the rest of the package is twice as large and not needed.
import Pool from 'undici/lib/dispatcher/pool.js';

/** Connections at most. */
const maxConnections = 256;

const connectTimeoutMs = 5_000;

/** Timeout for a connection without traffic in the middle of a body. */
const idleTimeoutMs = 5 * 60_000;

/** An unused connection is closed after this time, or a shorter one if the server names it. */
const unusedTimeoutMs = 60_000;

/** Connections to a server. @param skipVerify accepts any certificate */
export function openPool(origin: string, skipVerify: boolean): Pool {
  return new Pool(origin, {
    connections: maxConnections,
    // What waits for a response has a timeout of its own, which includes the wait for a connection.
    headersTimeout: 0,
    bodyTimeout: idleTimeoutMs,
    keepAliveTimeout: unusedTimeoutMs,
    connect: { timeout: connectTimeoutMs, rejectUnauthorized: !skipVerify },
  });
}
