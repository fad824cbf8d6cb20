import type { Worker } from 'node:worker_threads';
import { RegistryError } from '../../protocol/errors.ts';
import type { HashAnswer, HashTask } from './hash-worker.ts';

export interface HashThreadOptions {
  /** How long the thread is kept without work, in milliseconds. */
  readonly idleMs?: number;
  /** How long an answer may take until the thread is considered hung, in milliseconds. */
  readonly hangTimeoutMs?: number;
  /** Told why the thread has failed. */
  readonly onFailure?: (error: unknown) => void;
  /** Starts the thread: for each {@link HashTask} that is posted to it, it posts a {@link HashAnswer}. */
  readonly start?: () => Promise<Worker>;
}

/** The SHA-256 of one blob, computed by a {@link HashThread}. */
export interface HashInThread {
  /**
   * Resolves once the thread has read the bytes. They must stay as they are until then; if they are in shared memory, they are not
   * copied.
   * @throws RegistryError UNAVAILABLE if the thread has failed
   */
  update(bytes: Uint8Array): Promise<void>;
  /**
   * Of all bytes, in hexadecimal.
   * @throws RegistryError UNAVAILABLE if the thread has failed
   */
  digest(): Promise<string>;
  /** Ends it, with or without a digest. Idempotent. */
  end(): void;
}

interface Waiting {
  readonly resolve: (answer: HashAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A thread that hashes one large upload at a time, so that the event loop receives bytes meanwhile. It starts on demand and ends when
 * it had nothing to do for some time. If it fails, so does the upload that it works for, and no other is given to it.
 */
export class HashThread {
  readonly #idleMs: number;
  readonly #hangTimeoutMs: number;
  readonly #startWorker: () => Promise<Worker>;
  readonly #onFailure: ((error: unknown) => void) | undefined;
  #worker: Promise<Worker> | undefined;
  #failure: RegistryError | undefined;
  #current: symbol | undefined;
  /** For answers, in the order of the tasks. */
  readonly #waiting: Waiting[] = [];
  #hangTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor({ idleMs = 30_000, hangTimeoutMs = 30_000, onFailure, start }: HashThreadOptions = {}) {
    this.#idleMs = idleMs;
    this.#hangTimeoutMs = hangTimeoutMs;
    this.#onFailure = onFailure;
    // Loaded on demand: it is a module of its own, which the thread loads too.
    this.#startWorker = start ?? (async () => (await import('./hash-worker.ts')).startWorker());
  }

  /** Whether there is a thread now. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** @returns undefined while it works for another upload, or if the thread has failed: then the caller must hash */
  take(): HashInThread | undefined {
    if (this.#current !== undefined || this.#failure !== undefined) return undefined;
    const self = Symbol('a blob');
    this.#current = self;
    clearTimeout(this.#idleTimer);
    const end = (task: HashTask) => {
      if (this.#current !== self) return;
      if (task === 'forget') this.#ask(task).catch(() => undefined);
      this.#current = undefined;
      this.#endWhenIdle();
    };
    this.#ask('start').catch(() => undefined);
    return {
      update: async (bytes) => {
        await this.#ask(bytes);
      },
      digest: async () => {
        const answer = this.#ask('digest');
        end('digest');
        return String(await answer);
      },
      end: () => {
        end('forget');
      },
    };
  }

  /** Ends the thread. An upload in progress fails. */
  async close(): Promise<void> {
    await this.#fail(new Error('the registry is stopping'), false);
  }

  /** Posts a task once the thread runs. All tasks pass here, so they stay in order. */
  async #ask(task: HashTask): Promise<HashAnswer> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = new Promise<HashAnswer>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    this.#watch();
    this.#worker ??= this.#start();
    this.#worker.then(
      (worker) => {
        worker.ref();
        worker.postMessage(task);
      },
      () => undefined,
    );
    return await answer;
  }

  async #start(): Promise<Worker> {
    try {
      const worker = await this.#startWorker();
      worker.on('message', (answer: HashAnswer) => {
        this.#waiting.shift()?.resolve(answer);
        this.#watch();
        if (this.#waiting.length === 0) worker.unref();
      });
      // An unhandled error event would end the process.
      worker.on('error', (error) => void this.#fail(error));
      worker.once('exit', () => {
        // One that had no work is not the current one any more.
        void this.#worker?.then((current) => {
          if (current === worker) void this.#fail(new Error('the thread has ended'));
        });
      });
      return worker;
    } catch (error) {
      void this.#fail(error);
      throw error;
    }
  }

  /** Each answer must come in time. */
  #watch(): void {
    clearTimeout(this.#hangTimer);
    if (this.#waiting.length === 0) return;
    this.#hangTimer = setTimeout(() => {
      void this.#fail(new Error('the thread does not respond'));
    }, this.#hangTimeoutMs);
  }

  #endWhenIdle(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.#waiting.length > 0) {
        this.#endWhenIdle();
        return;
      }
      const worker = this.#worker;
      this.#worker = undefined;
      void worker?.then(async (one) => await one.terminate()).catch(() => undefined);
    }, this.#idleMs).unref();
  }

  async #fail(cause: unknown, isReported = true): Promise<void> {
    if (this.#failure !== undefined) return;
    const message = 'the registry could not compute the digest of the upload; send it again';
    this.#failure = new RegistryError('UNAVAILABLE', message, [], { cause });
    clearTimeout(this.#hangTimer);
    clearTimeout(this.#idleTimer);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    if (isReported) this.#onFailure?.(cause);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.then(async (one) => await one.terminate()).catch(() => undefined);
  }
}
