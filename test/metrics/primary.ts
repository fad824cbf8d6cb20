/** A primary process with two workers, whose summed metrics it sends to its parent. */
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Metrics } from '../../lib/metrics/prometheus.ts';
import { metricsOfWorkers, shareWithPrimary } from '../../lib/metrics/workers.ts';

if (cluster.isPrimary) {
  const text = metricsOfWorkers();
  const workers = ['1', '2'].map((COUNT) => cluster.fork({ COUNT }));
  await Promise.all(
    workers.map(async (worker) => {
      await once(worker, 'message');
    }),
  );
  process.send?.(await text());
  for (const worker of workers) worker.kill();
  process.disconnect();
} else {
  const { registry, telemetry } = new Metrics('filesystem');
  for (let i = 0; i < Number(process.env['COUNT']); i++) {
    telemetry.cacheRead?.(true);
    telemetry.storeCall?.('head')();
  }
  shareWithPrimary(registry);
}
