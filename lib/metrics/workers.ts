import { AggregatorRegistry, type Registry } from 'prom-client';

/** Lets the primary process of a cluster ask this worker for its metrics. */
export function shareWithPrimary(registry: Registry): void {
  AggregatorRegistry.setRegistries(registry);
  // It adds the listener for the primary's questions.
  new AggregatorRegistry();
}

/**
 * In the primary process of a cluster: the sums of the metrics of its workers. A worker that does not answer in five seconds
 * fails the scrape.
 */
export function metricsOfWorkers(): () => Promise<string> {
  const workers = new AggregatorRegistry();
  return async () => await workers.clusterMetrics();
}
