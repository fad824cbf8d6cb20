import { share } from '../concurrency/share.ts';

/** Limits on the time, connections and memory that a client can take. Tests use shorter ones. */
export interface Limits {
  /** The minimum rate of a request body. Time spent in the storage does not count. */
  readonly bodyRate: { readonly bytes: number; readonly withinMs: number };
  /** The minimum rate while other requests wait for a body slot. */
  readonly contendedBodyRate: { readonly bytes: number; readonly withinMs: number };
  /** The minimum rate at which a client must read responses. */
  readonly responseRate: { readonly bytes: number; readonly withinMs: number };
  /** How long a request waits in the queue of a concurrency limit. */
  readonly queueTimeoutMs: number;
  /** How long the headers of a request may take. */
  readonly headersTimeoutMs: number;
  /** How long a TLS handshake may take. */
  readonly handshakeTimeoutMs: number;
  /** How long a connection may be idle while the server waits for the client. */
  readonly idleTimeoutMs: number;
  /** The timeout of a request without blob bytes; undefined for none. */
  readonly responseTimeoutMs: number | undefined;
  /** How long a push waits for the list of repositories. */
  readonly recordTimeoutMs: number;
  /** How long a client that is still sending has to read the response before its connection closes. */
  readonly lingerMs: number;
  /** Concurrency limits of requests without bodies, and the limits of their queues. */
  readonly requests: Readonly<Record<RequestKind, { readonly atOnce: number; readonly waiting: number }>>;
}

/**
 * - `lookups`: read a few small objects of the storage
 * - `lists`: read listings of the storage or a database
 * - `referrers`: may hold megabytes of annotations
 */
export type RequestKind = 'lookups' | 'lists' | 'referrers';

export const usualLimits: Limits = {
  // 273 bytes a second, less than any modem's rate.
  bodyRate: { bytes: 16 * 1024, withinMs: 60_000 },
  // 64 KiB a second.
  contendedBodyRate: { bytes: 640 * 1024, withinMs: 10_000 },
  responseRate: { bytes: 32 * 1024, withinMs: 120_000 },
  // Less than the usual timeout of proxies.
  queueTimeoutMs: 30_000,
  headersTimeoutMs: 60_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 120_000,
  responseTimeoutMs: undefined,
  recordTimeoutMs: 2_000,
  lingerMs: 5_000,
  requests: {
    lookups: { atOnce: 256, waiting: 2_000 },
    lists: { atOnce: 64, waiting: 1_000 },
    referrers: { atOnce: 8, waiting: 1_000 },
  },
};

/** The part that each of some workers has of the limits of a server. */
export function shareLimits(limits: Limits, workers: number): Limits {
  const part = (kind: RequestKind) => ({
    atOnce: share(limits.requests[kind].atOnce, workers),
    waiting: share(limits.requests[kind].waiting, workers),
  });
  return {
    ...limits,
    requests: { lookups: part('lookups'), lists: part('lists'), referrers: part('referrers') },
  };
}

/** API Gateway times out after 30 s, with a response that clients cannot read. */
export const functionLimits: Limits = { ...usualLimits, responseTimeoutMs: 26_000 };
