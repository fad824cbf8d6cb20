import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { StreamingServer } from '../server.ts';
import { workerNumberVariable } from '../../config/workers.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { ClaimKeeper, isClaimRequest } from '../../cache/shared-claims.ts';
import { AttemptCounter, isAttemptRequest } from '../../access/htpasswd/shared-attempts.ts';
import { Questions } from './questions.ts';
import { StartFailed } from './start-failed.ts';

/** Pauses before a process that ended is replaced: doubled each time, and the first again after it has run for long. */
const firstPauseMs = 1_000;
const maxPauseMs = 30_000;
const longRunMs = 60_000;

/** How long a worker may take to say what is not ready: less than most probes wait. */
const answerTimeoutMs = 3_000;

/** How long a worker may take to end after its requests, for instance to deliver events. */
const endTimeoutMs = 5_000;

export interface WorkersOptions {
  /** At least 2. */
  readonly count: number;
  /** What the workers have in their environment beside that of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** How long workers wait for requests in flight when they stop. */
  readonly drainTimeoutMs: number;
  /** Called with what an operator should know, in sentences. */
  readonly report: (message: string) => void;
}

/** Processes that share a port. This one only starts, watches and stops them. */
export class Workers implements StreamingServer {
  readonly #options: WorkersOptions;
  /** Requests in flight of those that run. */
  readonly #requests = new Map<Worker, number>();
  /** Those that have started. */
  readonly #listening = new Set<Worker>();
  /** The one that delivers events. */
  #first: Worker | undefined;
  readonly #questions = new Questions<readonly string[]>({ stowage: 'unready' } satisfies ToWorker);
  readonly #attempts = new AttemptCounter<Worker>();
  readonly #claims = new ClaimKeeper<Worker>((worker, response) => {
    this.#send(worker, response);
  });
  readonly #timers = new Set<NodeJS.Timeout>();
  #url = '';
  /** What all workers have been told, if this server stops. */
  #order: ToWorker | undefined;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /**
   * Starts the first, alone, so that a wrong setting is reported once.
   * @throws StartFailed
   */
  async startFirst(): Promise<void> {
    const first = this.#fork(0);
    const outcome = await startOf(first);
    if (outcome instanceof StartFailed) throw outcome;
    this.#url = outcome;
    this.#replaceAtEnd(first, 0, firstPauseMs);
  }

  /** Resolves once all listen. One that ends before is replaced as later ones are. */
  async startOthers(): Promise<void> {
    const numbers = Array.from({ length: this.#options.count - 1 }, (_, index) => index + 1);
    await Promise.all(numbers.map(async (number) => await startOf(this.#start(number, firstPauseMs))));
  }

  get url(): string {
    return this.#url;
  }

  get requests(): number {
    return [...this.#requests.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Of any worker that has started. One that does not answer in time is named by its process id. */
  async unready(): Promise<readonly string[]> {
    if (this.#listening.size === 0) return ['workers'];
    const names = await Promise.all(
      [...this.#listening].map(async (worker) => {
        const silent = [`worker ${worker.process.pid ?? ''}`];
        return await this.#questions.ask(worker, answerTimeoutMs, silent);
      }),
    );
    return [...new Set(names.flat())];
  }

  announceStop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#tell({ stowage: 'announce stop' });
  }

  async stop(): Promise<void> {
    this.announceStop();
    const ended = [...this.#requests.keys()].map(async (worker) => {
      await once(worker, 'exit');
    });
    this.#tell({ stowage: 'stop' });
    // Each of them limits the time of its requests, unless it hangs.
    const timer = setTimeout(() => {
      for (const { process } of this.#requests.keys()) {
        this.#options.report(`Worker ${process.pid ?? ''} did not end in time and is killed.`);
        process.kill('SIGKILL');
      }
    }, this.#options.drainTimeoutMs + endTimeoutMs);
    await Promise.all(ended);
    clearTimeout(timer);
  }

  #start(number: number, pauseMs: number): Worker {
    const worker = this.#fork(number);
    this.#replaceAtEnd(worker, number, pauseMs);
    return worker;
  }

  #replaceAtEnd(worker: Worker, number: number, pauseMs: number): void {
    const startedMs = performance.now();
    worker.once('exit', (code: number | null, signal: NodeJS.Signals | null) => {
      if (this.#order !== undefined) return;
      const pause = performance.now() - startedMs > longRunMs ? firstPauseMs : pauseMs;
      const reason = signal ?? `exit code ${String(code)}`;
      this.#options.report(
        `A worker ended unexpectedly (${reason}); another one takes its place in ${pause / 1000} s.`,
      );
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#start(number, Math.min(2 * pause, maxPauseMs));
      }, pause);
      this.#timers.add(timer);
    });
  }

  #fork(number: number): Worker {
    const worker = cluster.fork({ ...this.#options.env, [workerNumberVariable]: String(number) });
    if (number === 0) this.#first = worker;
    this.#requests.set(worker, 0);
    worker.on('message', (message: FromWorker) => {
      this.#receive(worker, message);
    });
    worker.once('exit', () => {
      this.#requests.delete(worker);
      this.#listening.delete(worker);
      this.#questions.answered(worker, []);
      this.#attempts.forget(worker);
      this.#claims.forget(worker);
    });
    return worker;
  }

  #receive(worker: Worker, message: FromWorker): void {
    if (isAttemptRequest(message)) {
      const response = this.#attempts.answer(worker, message);
      if (response !== undefined) this.#send(worker, response);
    } else if (isClaimRequest(message)) this.#claims.receive(worker, message);
    else if (message.stowage === 'starting') {
      if (this.#order !== undefined) this.#send(worker, this.#order);
    } else if (message.stowage === 'requests') this.#requests.set(worker, message.count);
    else if (message.stowage === 'listening') this.#listening.add(worker);
    else if (message.stowage === 'written') {
      if (this.#first !== undefined) this.#send(this.#first, message);
    } else if ('names' in message) this.#questions.answered(worker, message.names);
  }

  #tell(order: ToWorker): void {
    this.#order = order;
    for (const worker of this.#requests.keys()) this.#send(worker, order);
  }

  #send(worker: Worker, message: ToWorker): void {
    // One that has just ended cannot be written to; its end is handled.
    if (worker.isConnected()) worker.send(message, () => undefined);
  }
}

/** @returns the URL at which a worker listens, or why it does not */
async function startOf(worker: Worker): Promise<string | StartFailed> {
  const { promise, resolve } = Promise.withResolvers<string | StartFailed>();
  worker.on('message', (message: FromWorker) => {
    if ('url' in message) resolve(message.url);
  });
  worker.once('exit', (code: number | null, signal: NodeJS.Signals | null) => {
    resolve(new StartFailed(code, signal));
  });
  return await promise;
}
