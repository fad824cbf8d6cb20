import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Services } from '../http/services.ts';
import type { Telemetry } from '../telemetry.ts';
import { cacheMetrics } from './cache-metrics.ts';
import { httpMetrics } from './http-metrics.ts';
import { notificationMetrics } from './notification-metrics.ts';
import { limitMetrics, serviceMetrics } from './service-metrics.ts';
import { storageMetrics, type StoreKind } from './storage-metrics.ts';

/** Gauges with the suffix of counters, which promtool refuses. The metrics without it have the same numbers by type. */
const misnamed = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`);

/** The metrics of one process. */
export class Metrics {
  readonly registry = new Registry();
  readonly telemetry: Telemetry;

  constructor(kind: StoreKind) {
    const { registry } = this;
    collectDefaultMetrics({ register: registry });
    for (const name of misnamed) registry.removeSingleMetric(name);
    this.telemetry = {
      ...httpMetrics(registry),
      ...storageMetrics(registry, kind),
      ...serviceMetrics(registry),
      ...notificationMetrics(registry),
      ...cacheMetrics(registry),
    };
  }

  /** Adds what is read of the services when metrics are asked for. */
  watch({ bodies, forms, manifestPushes, requests }: Services): void {
    limitMetrics(this.registry, {
      bodies,
      forms: forms.all,
      manifest_pushes: manifestPushes,
      ...requests.limits,
    });
    const uploads = new Gauge({
      name: 'stowage_uploads_in_progress',
      help: 'Bodies of blobs and manifests that are being received.',
      registers: [this.registry],
      collect: () => {
        uploads.set(bodies.inUse);
      },
    });
  }

  /** In the text format of Prometheus. */
  async text(): Promise<string> {
    return await this.registry.metrics();
  }
}
