import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { Check, Checked } from './bcrypt-worker.ts';

/** Leaves one core to the event loop. */
export const defaultThreads = Math.min(4, Math.max(1, availableParallelism() - 1));

/** Limits for checks that wait for a thread. */
const queue = { queueLimit: 64, timeoutMs: 10_000 };

/** Milliseconds until a thread is considered hung. The highest cost takes two seconds on an idle core. */
const hangTimeoutMs = 30_000;

/** Compares passwords with bcrypt hashes in a pool of threads, which start on demand. */
export class Verifier {
  readonly #limit: ConcurrencyLimit;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  #isClosed = false;

  constructor(threads = defaultThreads) {
    this.#limit = new ConcurrencyLimit(threads, queue);
  }

  /** @throws RegistryError BUSY if the queue is full, UNAVAILABLE if no thread can be started */
  async verify(check: Check): Promise<boolean> {
    return await this.#limit.run(async () => {
      const worker = this.#idle.pop() ?? (await this.#start());
      const checked = await ask(worker, check);
      if (checked instanceof Error) {
        await this.#discard(worker);
        throw unavailable(checked);
      }
      if (this.#all.has(worker)) this.#idle.push(worker);
      return checked.matches;
    });
  }

  /** Ends the threads. Checks in progress fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#all].map((worker) => this.#discard(worker)));
  }

  async #start(): Promise<Worker> {
    try {
      const { startWorker } = await import('./bcrypt-worker.ts');
      if (this.#isClosed) throw new Error('the password verifier is closed');
      const worker = startWorker();
      this.#all.add(worker);
      // An unhandled error event would end the process.
      worker.on('error', () => undefined);
      worker.once('exit', () => {
        this.#forget(worker);
      });
      return worker;
    } catch (error) {
      throw unavailable(error);
    }
  }

  #forget(worker: Worker): void {
    this.#all.delete(worker);
    if (this.#idle.includes(worker)) this.#idle.splice(this.#idle.indexOf(worker), 1);
  }

  async #discard(worker: Worker): Promise<void> {
    this.#forget(worker);
    await worker.terminate();
  }
}

function unavailable(cause: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', 'the registry cannot check passwords now; try again', [], {
    cause,
  });
}

/** @returns an error if the thread ends, fails or does not respond */
async function ask(worker: Worker, check: Check): Promise<{ readonly matches: boolean } | Error> {
  // Keeps the process alive until the check ends.
  worker.ref();
  const { promise, resolve } = Promise.withResolvers<Checked | Error>();
  const onExit = () => {
    resolve(new Error('the thread that checks passwords ended'));
  };
  const timer = setTimeout(() => {
    resolve(new Error('the thread that checks passwords does not respond'));
  }, hangTimeoutMs);
  worker.once('message', resolve).once('error', resolve).once('exit', onExit);
  worker.postMessage(check);
  const response = await promise;
  clearTimeout(timer);
  worker.off('message', resolve).off('error', resolve).off('exit', onExit);
  worker.unref();
  return 'error' in response ? new Error(response.error) : response;
}
