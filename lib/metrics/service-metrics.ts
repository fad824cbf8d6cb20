import { Counter, Gauge, type Registry } from 'prom-client';
import type { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import type { Telemetry } from '../telemetry.ts';

/** Metrics of logins, of events, and of the list of repositories. */
export function serviceMetrics(registry: Registry): Telemetry {
  const counter = (name: string, help: string, outcomes: readonly string[]) => {
    const created = new Counter({ name, help, labelNames: ['outcome'], registers: [registry] });
    // From the start, since a rate cannot see the first of a series.
    for (const outcome of outcomes) created.inc({ outcome }, 0);
    return created;
  };
  const passwords = counter('stowage_password_checks_total', 'Passwords that were checked, by outcome.', [
    ...['right', 'wrong', 'throttled', 'unavailable'],
  ]);
  const pushes = counter(
    'stowage_repository_list_pushes_total',
    'Pushes that were added to the list of repositories, by outcome.',
    ['success', 'failure'],
  );
  const reindexes = counter(
    'stowage_repository_list_reindexes_total',
    'Comparisons of the list of repositories with the bucket, by outcome.',
    ['success', 'failure'],
  );
  const reindexed = new Gauge({
    name: 'stowage_repository_list_reindexed_timestamp_seconds',
    help: 'When the list of repositories last matched the bucket, in seconds since 1970; 0 if not since the start.',
    registers: [registry],
    aggregator: 'max',
  });
  const events = new Counter({
    name: 'stowage_events_total',
    help: 'Pushes, pulls, mounts and deletes, by action and by what they are about.',
    labelNames: ['action', 'content'],
    registers: [registry],
  });
  for (const action of ['push', 'pull', 'delete'])
    for (const content of ['manifest', 'blob']) events.inc({ action, content }, 0);
  events.inc({ action: 'mount', content: 'blob' }, 0);
  events.inc({ action: 'delete', content: 'tag' }, 0);
  return {
    happened: ({ action, change: { content } }) => {
      events.inc({ action, content });
    },
    passwordChecked: (outcome) => {
      passwords.inc({ outcome });
    },
    pushRecorded: (outcome) => {
      pushes.inc({ outcome });
    },
    listReindexed: (outcome) => {
      reindexes.inc({ outcome });
      if (outcome === 'success') reindexed.setToCurrentTime();
    },
  };
}

/** Metrics of concurrency limits, which are read when they are asked for. */
export function limitMetrics(registry: Registry, limits: Readonly<Record<string, ConcurrencyLimit>>): void {
  const all = Object.entries(limits);
  const gauge = (name: string, help: string, of: (limit: ConcurrencyLimit) => number) => {
    const created = new Gauge({
      name: `stowage_limit_${name}`,
      help,
      labelNames: ['limit'],
      registers: [registry],
      collect: () => {
        for (const [limit, one] of all) created.set({ limit }, of(one));
      },
    });
  };
  const counter = (name: string, help: string, of: (limit: ConcurrencyLimit) => number) => {
    const created = new Counter({
      name: `stowage_limit_${name}_total`,
      help,
      labelNames: ['limit'],
      registers: [registry],
      collect: () => {
        created.reset();
        for (const [limit, one] of all) created.inc({ limit }, of(one));
      },
    });
  };
  gauge('capacity', 'Tasks that a concurrency limit allows.', ({ capacity }) => capacity);
  gauge('in_use', 'Tasks in progress under a concurrency limit.', ({ inUse }) => inUse);
  gauge('waiting', 'Tasks that wait for a concurrency limit.', ({ waiting }) => waiting);
  counter('waits', 'Tasks that had to wait for a concurrency limit.', ({ waits }) => waits);
  counter(
    'refusals',
    'Tasks refused by a concurrency limit: the queue was full, or the wait too long.',
    (one) => one.refusals,
  );
}
