import { setTimeout as delay } from 'node:timers/promises';
import { formatDuration } from '../config/durations.ts';
import type { StreamingServer } from '../server/server.ts';
import { count } from './command.ts';

/** What ends a command: a scheduler of jobs, Ctrl-C, and a terminal that closes. */
export const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export type StopSignal = (typeof stopSignals)[number];

/** Load balancers and Kubernetes take this long to see that a server is not ready, or to hear that it ends. */
const noticeMs = 5_000;

/** Ctrl-C arrives twice: from the terminal and through npm. */
const repeatedSignalMs = 1_000;

/**
 * Stops a server at SIGTERM or SIGHUP after a notice to proxies, and at once at Ctrl-C. Requests in flight finish first; a second
 * signal ends the process at once.
 */
export function stopAtSignals(server: StreamingServer, drainTimeoutMs: number): void {
  onStopSignal(
    (signal) => void stop(server, signal, drainTimeoutMs),
    () => {
      console.error(`Ended by a second signal, with ${count(server.requests, 'request')} in flight.`);
    },
  );
}

/** In place of all other listeners, calls `first` at the first signal. A later second one ends the process, after `second`. */
export function onStopSignal(
  first: (signal: NodeJS.Signals) => void,
  second: () => void = () => undefined,
): void {
  let stoppedMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (stoppedMs === undefined) {
      stoppedMs = performance.now();
      first(signal);
    } else if (performance.now() - stoppedMs > repeatedSignalMs) {
      second();
      process.exit(1);
    }
  };
  for (const signal of stopSignals) process.removeAllListeners(signal).on(signal, onSignal);
}

async function stop(server: StreamingServer, signal: NodeJS.Signals, drainTimeoutMs: number): Promise<void> {
  if (signal !== 'SIGINT') {
    console.error(
      `Stopping: /readyz answers 503 now, and new connections are taken for ${formatDuration(noticeMs)} more.`,
    );
    server.announceStop();
    await delay(noticeMs);
  }
  if (server.requests > 0)
    console.error(
      `Waiting for ${count(server.requests, 'request')}, at most ${formatDuration(drainTimeoutMs)}. ${
        signal === 'SIGINT' ? 'Ctrl-C again' : 'Another signal'
      } ends it at once.`,
    );
  await server.stop();
  process.exit(0);
}
