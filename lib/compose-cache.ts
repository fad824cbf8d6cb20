import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { Pattern } from './access/policy/patterns.ts';
import type { ObserveCache } from './cache/cache-event.ts';
import { unshared } from './cache/copy-claims.ts';
import { claimsOfAllWorkers } from './cache/shared-claims.ts';
import { createCache, type CacheOptions } from './cache/create-cache.ts';
import type { CachedPrefix } from './cache/sources.ts';
import { withCache } from './cache/with-cache.ts';
import type { UpstreamConfig } from './config/upstreams.ts';
import { throttledWarning } from './logging/logger.ts';
import type { Collections } from './registry/collection/collections.ts';
import type { Registry } from './registry/interface.ts';
import { readOnly } from './registry/wrappers/read-only.ts';
import type { ObjectStore } from './storage/store.ts';
import { UpstreamClient } from './upstream/client.ts';
import { UpstreamLoops } from './upstream-loops.ts';

/** Milliseconds until the headers of an upstream's response, and between any two pieces of its body. */
const upstreamTimeoutMs = 15_000;

/** Milliseconds for a whole manifest, token or list, and until the bytes of a blob begin, with all attempts. */
const upstreamDeadlineMs = 30_000;

export interface CacheWiring {
  /** Of the registry. */
  readonly secret: string;
  readonly store: ObjectStore;
  /** Of the registry. */
  readonly collections: Collections;
  readonly log: Logger;
  readonly observe: ObserveCache;
  /** Whether other processes of this machine serve the same. */
  readonly isWorker: boolean;
  /** Processes that share the memory. */
  readonly workers: number;
  /** The part for blobs, where it is not that of a server. */
  readonly blobs?: CacheOptions['blobs'];
}

/**
 * The registry with the caches that the settings name.
 * @param registry unrestricted
 */
export function withUpstreams(
  registry: Registry,
  upstreams: readonly UpstreamConfig[],
  { log, secret, ...wiring }: CacheWiring,
): Registry {
  const loops = new UpstreamLoops(secret);
  const message = 'an upstream cannot be asked: what is cached is answered as it was, and the rest refused';
  const warnings = new Map(upstreams.map(({ prefix }) => [prefix, throttledWarning(log, message)]));
  const cache = createCache(
    upstreams.map((upstream) => prefixOf(upstream, loops)),
    {
      ...wiring,
      isLoop: loops.isLoop,
      registry,
      claims: wiring.isWorker ? claimsOfAllWorkers() : unshared,
      onOutage: ({ prefix, upstream }, { message: reason }) => {
        warnings.get(prefix)?.({ prefix, upstream: upstream.host, reason });
      },
      onFailure: (blob, error) => {
        log.warn({ ...blob, err: error }, 'a blob could not be copied from its upstream');
      },
    },
  );
  const cached = withCache(registry, cache);
  const whole = upstreams.find(({ prefix }) => prefix === '');
  return whole === undefined
    ? cached
    : readOnly(cached, `this registry is a cache of ${whole.url}, and takes no changes; push there`);
}

/** What a cache knows of an upstream. */
export function prefixOf(
  { url, privateAddresses, credentials, repositories, ...config }: UpstreamConfig,
  loops: UpstreamLoops,
): CachedPrefix {
  const remedy = `set ${config.setting} if that is meant`;
  return {
    ...config,
    upstream: new UpstreamClient(new URL(url), {
      credentials,
      privateAddresses: privateAddresses ? 'permitted' : { remedy },
      timeoutMs: upstreamTimeoutMs,
      deadlineMs: upstreamDeadlineMs,
      // What is cached need not wait for the end of a rate limit, and other clients come again.
      maxWaitMs: 0,
      headers: loops.headers,
    }),
    account: shortHash(url, credentials?.user ?? ''),
    id: shortHash(url, credentials?.user ?? '', credentials?.password ?? '', String(privateAddresses)),
    repositories: repositories.map((text) => new Pattern(text)),
  };
}

function shortHash(...texts: readonly string[]): string {
  return createHash('sha256').update(texts.join(' ')).digest('hex').slice(0, 32);
}
