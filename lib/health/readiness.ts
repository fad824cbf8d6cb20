import { AsyncLocalStorage } from 'node:async_hooks';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { Deadline, deadlineSignal } from '../storage/deadline.ts';
import type { Check } from './checks.ts';

/** Where checks report that they have begun to fail, or to succeed again. */
export interface ReadinessLog {
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

/**
 * Whether the registry should get requests.
 * - `background`: from the first question on, every check runs at its interval, and questions are answered at once. Nothing
 *   is probed as long as nobody asks.
 * - `on-request`: for functions, which are frozen between requests. A question waits for the checks whose last result is older
 *   than their interval, and a single failure counts.
 */
export class Readiness {
  readonly #states: readonly CheckState[];
  readonly #mode: 'background' | 'on-request';
  #timers: readonly NodeJS.Timeout[] | undefined;
  #isStopping = false;

  constructor(checks: readonly Check[], mode: 'background' | 'on-request', log: ReadinessLog) {
    this.#mode = mode;
    this.#states = checks.map(
      (check) => new CheckState(mode === 'on-request' ? { ...check, threshold: 1 } : check, log),
    );
  }

  /** The names of what is unready. None if the registry is ready. */
  async unready(): Promise<readonly string[]> {
    if (this.#isStopping) return ['shutdown'];
    if (this.#mode === 'on-request')
      await Promise.all(
        this.#states.map(async (state) => {
          await state.refresh();
        }),
      );
    else this.#timers ??= this.#states.map((state) => state.repeat());
    return this.#states.filter(({ isDown }) => isDown).map(({ name }) => name);
  }

  /** From now on it is not ready, since the process ends. */
  stop(): void {
    this.#isStopping = true;
    for (const timer of this.#timers ?? []) clearInterval(timer);
  }
}

/** The results of one check. */
class CheckState {
  readonly #check: Check;
  readonly #log: ReadinessLog;
  /** Probes belong to no request, so they have neither its deadline nor its id. */
  readonly #outsideRequests = AsyncLocalStorage.snapshot();
  #failures = 0;
  #isDown = false;
  /** By the wall clock: the monotonic one stops in a frozen function. */
  #nextMs = 0;
  #refreshing: Promise<void> | undefined;
  #isProbing = false;
  /** When the probe that runs counts as failed again, on the monotonic clock. */
  #nextFailureMs = 0;

  constructor(check: Check, log: ReadinessLog) {
    this.#check = check;
    this.#log = log;
  }

  get name(): string {
    return this.#check.name;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Runs the check at its interval, the first time at once. */
  repeat(): NodeJS.Timeout {
    return this.#outsideRequests(() => {
      void this.#run();
      return setInterval(() => void this.#run(), this.#check.intervalMs).unref();
    });
  }

  /** Runs the check if its last result is too old. */
  async refresh(): Promise<void> {
    if (Date.now() < this.#nextMs) return;
    await (this.#refreshing ??= this.#outsideRequests(this.#run.bind(this)).finally(() => {
      this.#nextMs = Date.now() + this.#check.intervalMs;
      this.#refreshing = undefined;
    }));
  }

  async #run(): Promise<void> {
    if (this.#isProbing) {
      this.#stillProbing();
      return;
    }
    try {
      await this.#probe();
      this.#succeeded();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A probe that hangs fails at its timeout and counts again after each further one, however short the interval. */
  #stillProbing(): void {
    if (performance.now() < this.#nextFailureMs) return;
    this.#nextFailureMs = performance.now() + this.#check.timeoutMs;
    this.#failed(new Error('an earlier probe has not ended yet'));
  }

  /** One at a time: a probe of a folder cannot be aborted, and each one that hangs holds a thread. */
  async #probe(): Promise<void> {
    const { timeoutMs, probe } = this.#check;
    this.#isProbing = true;
    this.#nextFailureMs = performance.now() + 2 * timeoutMs;
    const deadline = new Deadline(timeoutMs);
    const probing = deadline
      .run(async () => {
        await probe(deadlineSignal() ?? AbortSignal.timeout(timeoutMs));
      })
      .finally(() => {
        this.#isProbing = false;
      });
    await withTimeout(probing, timeoutMs, () => {
      deadline.end();
      return new Error(`there was no answer in ${timeoutMs / 1_000} s`);
    });
  }

  #succeeded(): void {
    this.#failures = 0;
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#log.info({ check: this.name }, 'the registry is ready again');
  }

  #failed(error: unknown): void {
    this.#failures++;
    if (this.#isDown || this.#failures < this.#check.threshold) return;
    this.#isDown = true;
    this.#log.warn(
      { check: this.name, failures: this.#failures, err: error },
      'the registry is not ready: /readyz answers 503, other requests are answered as before',
    );
  }
}
