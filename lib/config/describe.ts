import type { Config } from './config.ts';
import { describeStorage } from './storage.ts';

/** What a registry runs with, for the first line of its log: nothing secret. */
export function describeConfig(config: Config): {
  readonly storage: string;
  readonly auth: string;
  readonly list: string;
  readonly on: readonly string[];
} {
  const { storage, auth, search, health } = config;
  const features = {
    'read-only': config.readOnly,
    deletes: config.deleteEnabled && !config.readOnly,
    redirects: config.redirectEnabled && storage.kind !== 'filesystem',
    'data plane': config.dataPlane !== undefined,
    metrics: config.debug?.metricsPath !== undefined || config.cloudWatch !== undefined,
    traces: config.tracing !== undefined,
    TLS: config.tls !== undefined,
    CORS: config.corsOrigins.length > 0,
    'trusted proxies': config.trustedProxies.length > 0,
    cache: config.upstreams.length > 0,
    events: config.notifications.endpoints.length > 0,
    'storage probe': health.storage !== undefined,
    'other checks': health.extra.length > 0,
  };
  return {
    storage: describeStorage(storage),
    auth: auth.kind,
    list: search.kind,
    on: Object.entries(features).flatMap(([name, isOn]) => (isOn ? [name] : [])),
  };
}
