import { Counter, Gauge, type Registry } from 'prom-client';
import type { Telemetry } from '../telemetry.ts';

const types = { taken: 'Successes', refused: 'Failures', failed: 'Failures' } as const;

/**
 * Metrics of events for endpoints, of which the first three are distribution's. They are there once an endpoint is: the name of the
 * second one, a gauge, is that of a counter, which promtool refuses.
 */
export function notificationMetrics(registry: Registry): Telemetry {
  let metrics: ReturnType<typeof createMetrics> | undefined;
  return {
    notified: (endpoint, report) => {
      metrics ??= createMetrics(registry);
      const { events, pending, statuses, dead, dropped } = metrics;
      if (!metrics.known.has(endpoint)) {
        metrics.known.add(endpoint);
        // From the start, since a rate cannot see the first of a series.
        for (const type of ['Events', 'Successes', 'Failures', 'Errors']) events.inc({ type, endpoint }, 0);
        for (const counter of [dead, dropped]) counter.inc({ endpoint }, 0);
        pending.set({ endpoint }, 0);
      }
      switch (report.event) {
        case 'received':
          events.inc({ type: 'Events', endpoint });
          break;
        case 'delivered': {
          const { status, outcome } = report.delivery;
          events.inc({
            type: status === undefined && outcome !== 'taken' ? 'Errors' : types[outcome],
            endpoint,
          });
          if (status !== undefined) statuses.inc({ code: status, endpoint });
          break;
        }
        case 'waiting':
          pending.set({ endpoint }, report.count);
          break;
        case 'dead':
          dead.inc({ endpoint }, report.count);
          break;
        case 'dropped':
          dropped.inc({ endpoint });
      }
    },
  };
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name, help, labelNames, registers });
  return {
    known: new Set<string>(),
    events: counter(
      'registry_notifications_events_total',
      'Events for an endpoint, and deliveries that it has taken (Successes), answered otherwise (Failures) or not answered (Errors).',
      ['type', 'endpoint'],
    ),
    pending: new Gauge({
      name: 'registry_notifications_pending_total',
      help: 'Events that wait for an endpoint, as far as the process that delivers them has seen; a thousand at most.',
      labelNames: ['endpoint'],
      registers,
    }),
    statuses: counter('registry_notifications_status_total', 'Responses of an endpoint, by status.', [
      'code',
      'endpoint',
    ]),
    dead: counter('stowage_notifications_dead_total', 'Events for an endpoint that were given up.', [
      'endpoint',
    ]),
    dropped: counter(
      'stowage_notifications_dropped_total',
      'Events of pulls for an endpoint that were lost.',
      ['endpoint'],
    ),
  };
}
