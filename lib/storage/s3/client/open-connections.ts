import type { Connections, LargeReads } from './connections.ts';

/** Bytes from which a body is a large one. A request by Node's client takes 70 µs more than by undici. */
const largeBodyBytes = 256 * 1024;

export interface ConnectionOptions {
  /** Accepts any server certificate. */
  readonly skipVerify?: boolean | undefined;
  /** Whether the process may end after a few requests, as a function does. Then connections are those of Node itself. */
  readonly startsOften?: boolean | undefined;
  /** Of large bodies, on connections that are not encrypted. */
  readonly largeReads?: LargeReads | undefined;
}

/** Loads what sends requests to a server. */
export async function openConnections(
  origin: string,
  { skipVerify = false, startsOften = false, largeReads }: ConnectionOptions,
): Promise<Connections> {
  if (startsOften) return (await import('./agent.ts')).openAgent(origin, skipVerify);
  const pool = (await import('./pool.ts')).openPool(origin, skipVerify);
  // What is encrypted comes in pieces of 16 KiB, which undici joins.
  if (largeReads === undefined || !origin.startsWith('http:')) return pool;
  const bodies = (await import('./body-connections.ts')).openBodyConnections(origin, largeReads);
  return {
    dispatch: (request, handler) => {
      const isLarge = request.streams && (request.length ?? Infinity) >= largeBodyBytes;
      (isLarge ? bodies : pool).dispatch(request, handler);
    },
    destroy: () => {
      pool.destroy();
      bodies.destroy();
    },
  };
}
