import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { handlerLabel, methodLabel } from '../metrics/handlers.ts';
import type { Telemetry } from '../telemetry.ts';

/**
 * Writes one line for each request in CloudWatch's embedded metric format, from which CloudWatch makes metrics. Each combination of
 * a metric with a handler is paid for, so there are few metrics and one dimension beside the service.
 */
export function cloudWatchTelemetry(namespace: string): Telemetry {
  const metrics = new Metrics({ namespace, serviceName: 'stowage' });
  return {
    requestEnded: (scope, { status }) => {
      if (scope.route?.group === 'health') return;
      metrics.addDimension('handler', handlerLabel(scope.route));
      metrics.addMetric('Requests', MetricUnit.Count, 1);
      metrics.addMetric('Errors', MetricUnit.Count, status >= 500 ? 1 : 0);
      metrics.addMetric('Duration', MetricUnit.Milliseconds, performance.now() - scope.startMs);
      metrics.addMetric('BucketRequests', MetricUnit.Count, scope.bucketRequests);
      // Searchable in the log, and no metrics.
      metrics.addMetadata('id', scope.id);
      metrics.addMetadata('method', methodLabel(scope.method));
      metrics.addMetadata('status', String(status));
      metrics.publishStoredMetrics();
    },
  };
}
