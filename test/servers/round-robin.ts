import { startProxy, type Proxy } from './proxy.ts';

/** Several registries that clients see as one. */
export interface RoundRobin extends Proxy {
  /** How many requests each upstream was given, whether it took them or not. */
  readonly requestsTo: readonly number[];
}

/**
 * Starts a proxy that gives each request to the next upstream, so that those of one upload never go to the same one twice in a
 * row.
 * @param upstreams addresses, as `127.0.0.1:5000`
 */
export async function roundRobin(upstreams: readonly string[]): Promise<RoundRobin> {
  const requestsTo = upstreams.map(() => 0);
  let turn = 0;
  const proxy = await startProxy(() => {
    const index = turn++ % upstreams.length;
    requestsTo[index] = (requestsTo[index] ?? 0) + 1;
    return upstreams[index] ?? '';
  });
  return { ...proxy, requestsTo };
}
