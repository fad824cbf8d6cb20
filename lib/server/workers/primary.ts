import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { StreamingServer } from '../server.ts';
import { workerNumberVariable } from '../../config/workers.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { AttemptCounter, isAttemptRequest } from '../../access/htpasswd/shared-attempts.ts';
import { StartFailed } from './start-failed.ts';

/** Pauses before a process that ended is replaced: doubled each time, and the first again after it has run for long. */
const firstPauseMs = 1_000;
const maxPauseMs = 30_000;
const longRunMs = 60_000;

/** How long a worker may take to answer. */
const answerTimeoutMs = 5_000;

export interface WorkersOptions {
  /** At least 2. */
  readonly count: number;
  /** What the workers have in their environment beside that of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Called with what an operator should know, in sentences. */
  readonly report: (message: string) => void;
}

/** Processes that share a port. This one only starts, watches and stops them. */
export class Workers implements StreamingServer {
  readonly #options: WorkersOptions;
  /** Requests in flight of those that run. */
  readonly #requests = new Map<Worker, number>();
  readonly #attempts = new AttemptCounter<Worker>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #url = '';
  #isStopping = false;

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

  /** Of any worker. One that does not answer in time counts as ready. */
  async unready(): Promise<readonly string[]> {
    const names = await Promise.all([...this.#requests.keys()].map(unreadyOf));
    return [...new Set(names.flat())];
  }

  announceStop(): void {
    this.#isStopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#tell({ stowage: 'announce stop' });
  }

  async stop(): Promise<void> {
    this.announceStop();
    const ended = [...this.#requests.keys()].map(async (worker) => {
      await once(worker, 'exit');
    });
    this.#tell({ stowage: 'stop' });
    // Each of them limits the time of its requests.
    await Promise.all(ended);
  }

  #start(number: number, pauseMs: number): Worker {
    const worker = this.#fork(number);
    this.#replaceAtEnd(worker, number, pauseMs);
    return worker;
  }

  #replaceAtEnd(worker: Worker, number: number, pauseMs: number): void {
    const startedMs = performance.now();
    worker.once('exit', (code: number | null, signal: NodeJS.Signals | null) => {
      if (this.#isStopping) return;
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
    this.#requests.set(worker, 0);
    worker.on('message', (message: FromWorker) => {
      this.#receive(worker, message);
    });
    worker.once('exit', () => {
      this.#requests.delete(worker);
      this.#attempts.forget(worker);
    });
    return worker;
  }

  #receive(worker: Worker, message: FromWorker): void {
    if (isAttemptRequest(message)) {
      const response = this.#attempts.answer(worker, message);
      if (response !== undefined && worker.isConnected()) worker.send(response);
    } else if (message.stowage === 'requests') this.#requests.set(worker, message.count);
  }

  #tell(message: ToWorker): void {
    for (const worker of this.#requests.keys()) if (worker.isConnected()) worker.send(message);
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

async function unreadyOf(worker: Worker): Promise<readonly string[]> {
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  const onMessage = (message: FromWorker) => {
    if ('names' in message) resolve(message.names);
  };
  const giveUp = () => {
    resolve([]);
  };
  const timer = setTimeout(giveUp, answerTimeoutMs);
  worker.on('message', onMessage).once('exit', giveUp);
  if (worker.isConnected()) worker.send({ stowage: 'unready' } satisfies ToWorker);
  const names = await promise;
  clearTimeout(timer);
  worker.off('message', onMessage).off('exit', giveUp);
  return names;
}
