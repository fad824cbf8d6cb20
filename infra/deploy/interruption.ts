import { constants } from 'node:os';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { stopSignals, type StopSignal } from '../../lib/commands/stop-at-signals.ts';
import { DeployError } from './deploy-error.ts';

/** A signal has ended the command. */
export class Interrupted extends DeployError {
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super(`Stopped by ${signal}.`);
    this.signal = signal;
  }

  /** As shells have it. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal];
  }
}

/**
 * Runs something that looks at `interrupted` before each of its steps, so that it can end with what there is to say. The reason
 * of that is {@link Interrupted}.
 */
export async function untilInterrupted<T>(run: (interrupted: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    // Ctrl-C arrives twice: from the terminal and through npm.
    if (controller.signal.aborted) return;
    console.log('\nStopping …');
    controller.abort(new Interrupted(signal as StopSignal));
  };
  for (const signal of stopSignals) process.on(signal, stop);
  try {
    return await run(controller.signal);
  } finally {
    for (const signal of stopSignals) process.off(signal, stop);
  }
}

/** Waits for the end of a process, which gets the signal that this one gets. @returns its exit code; undefined after a signal */
export async function endOf(child: ChildProcess, interrupted: AbortSignal): Promise<number | undefined> {
  const forward = () => {
    const { signal } = interrupted.reason as Interrupted;
    child.kill(signal);
  };
  if (interrupted.aborted) forward();
  interrupted.addEventListener('abort', forward);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? undefined;
  } finally {
    interrupted.removeEventListener('abort', forward);
  }
}
