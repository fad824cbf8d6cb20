import { Counter, type Registry } from 'prom-client';
import type { CacheEvent } from '../cache/cache-event.ts';
import type { Telemetry } from '../telemetry.ts';

/** Metrics of repositories that are caches of other registries: distribution's, and one of tags that could not be checked. */
export function cacheMetrics(registry: Registry): Telemetry {
  const counter = (name: string, help: string) => {
    const created = new Counter({ name, help, labelNames: ['type'], registers: [registry] });
    // From the start, since a rate cannot see the first of a series.
    for (const type of ['manifest', 'blob']) created.inc({ type }, 0);
    return created;
  };
  const requests = counter(
    'registry_proxy_requests_total',
    'Pulls from caches of other registries, by type.',
  );
  const hits = counter(
    'registry_proxy_hits_total',
    'Pulls from caches that found what they asked for, by type.',
  );
  const misses = counter(
    'registry_proxy_misses_total',
    'Pulls from caches that had to ask upstreams, by type.',
  );
  const pulled = counter('registry_proxy_pulled_bytes_total', 'Bytes that came from upstreams, by type.');
  const pushed = counter(
    'registry_proxy_pushed_bytes_total',
    'Bytes that went from caches to clients, without those of redirects, by type.',
  );
  const stale = new Counter({
    name: 'stowage_proxy_stale_total',
    help: 'Tags that were answered although their upstream could not be asked.',
    registers: [registry],
  });
  return {
    cached: ({ type, kind, bytes = 0 }: CacheEvent) => {
      if (kind === 'stale') stale.inc();
      else if (kind === 'pulled') pulled.inc({ type }, bytes);
      else if (kind === 'pushed') pushed.inc({ type }, bytes);
      else {
        requests.inc({ type });
        (kind === 'hit' ? hits : misses).inc({ type });
      }
    },
  };
}
