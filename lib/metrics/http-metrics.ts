import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from 'prom-client';
import type { RequestScope } from '../request-scope.ts';
import type { Telemetry } from '../telemetry.ts';
import { handlerLabel, methodLabel } from './handlers.ts';

/** Seconds and bytes, as in distribution. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60];
const sizeBuckets = exponentialBuckets(1024, 2, 22);

/** Distribution's metrics of HTTP requests, with its names, labels and buckets. Probes of health are not counted. */
export function httpMetrics(registry: Registry): Telemetry {
  const registers = [registry];
  const requests = new Counter({
    name: 'registry_http_requests_total',
    help: 'HTTP requests that have ended.',
    labelNames: ['handler', 'code', 'method'],
    registers,
  });
  const inFlight = new Gauge({
    name: 'registry_http_in_flight_requests',
    help: 'HTTP requests in flight.',
    labelNames: ['handler'],
    registers,
  });
  const duration = new Histogram({
    name: 'registry_http_request_duration_seconds',
    help: 'Seconds from the headers of a request to the end of its response.',
    labelNames: ['handler', 'method'],
    buckets: durationBuckets,
    registers,
  });
  const requestSize = new Histogram({
    name: 'registry_http_request_size_bytes',
    help: 'Bytes of the body of a request.',
    labelNames: ['handler'],
    buckets: sizeBuckets,
    registers,
  });
  const responseSize = new Histogram({
    name: 'registry_http_response_size_bytes',
    help: 'Bytes of the body of a response.',
    labelNames: ['handler'],
    buckets: sizeBuckets,
    registers,
  });
  const bytes = new TransferredBytes(registry);
  return {
    requestStarted: (scope) => {
      bytes.started(scope);
    },
    requestRouted: ({ route }) => {
      if (route?.group === 'health') return;
      inFlight.inc({ handler: handlerLabel(route) });
    },
    requestEnded: (scope, { status }) => {
      bytes.ended(scope);
      if (scope.route?.group === 'health') return;
      const [handler, method] = [handlerLabel(scope.route), methodLabel(scope.method)];
      if (scope.route !== undefined) inFlight.dec({ handler });
      requests.inc({ handler, code: status, method });
      duration.observe({ handler, method }, (performance.now() - scope.startMs) / 1000);
      requestSize.observe({ handler }, scope.bytesReceived);
      responseSize.observe({ handler }, scope.bytesSent);
    },
  };
}

/** Bytes of bodies in both directions. Those of requests in flight count as they pass, since a layer may take hours. */
class TransferredBytes {
  readonly #inFlight = new Set<RequestScope>();
  readonly #ended = { received: 0, sent: 0 };

  constructor(registry: Registry) {
    this.#counter(registry, 'received', () => this.#total('received', (scope) => scope.bytesReceived));
    this.#counter(registry, 'sent', () => this.#total('sent', (scope) => scope.bytesSent));
  }

  started(scope: RequestScope): void {
    this.#inFlight.add(scope);
  }

  ended(scope: RequestScope): void {
    this.#inFlight.delete(scope);
    this.#ended.received += scope.bytesReceived;
    this.#ended.sent += scope.bytesSent;
  }

  #total(direction: 'received' | 'sent', of: (scope: RequestScope) => number): number {
    return [...this.#inFlight].reduce((sum, scope) => sum + of(scope), this.#ended[direction]);
  }

  #counter(registry: Registry, direction: 'received' | 'sent', total: () => number): void {
    let counted = 0;
    const counter = new Counter({
      name: `stowage_http_${direction}_bytes_total`,
      help: `Bytes of bodies ${direction}, including those of requests in flight.`,
      registers: [registry],
      collect: () => {
        // What a client did not take is subtracted at the end of its request, and a counter must not fall.
        const now = Math.max(counted, total());
        counter.inc(now - counted);
        counted = now;
      },
    });
  }
}
