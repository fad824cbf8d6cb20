import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { freeBuffer, type LendingBody } from './free-buffer.ts';
import { StoreUnavailable } from './store.ts';

/** Consecutive failures after which a body fails, and the delay before a retry; it grows with each failure. */
const maxFailures = 4;
const retryDelayMs = 100;

/** Bytes received since a failure after which it no longer counts. */
const recoveredAfterBytes = 1024 * 1024;

/** What a body is read from: a range of an object. */
interface BodySource {
  readonly key: string;
  /** Expected bytes. */
  readonly length: number;
  /** Opens the rest after this many bytes. @throws if the object has changed */
  readonly reopen: (received: number) => Promise<Readable>;
  /** Whether others wait for a connection. */
  readonly isContended?: () => boolean;
}

/** An idle reader's connection is released after this time, and after a shorter one if others wait for connections. */
const idleMs = 10_000;
const contendedIdleMs = 1_000;

/**
 * The bytes of an object over connections that may fail: it reconnects and continues at the same offset. It ends early
 * only with an error. Unlike Node's response stream, it closes its connection when destroyed.
 */
export class ReconnectingBody extends Readable {
  readonly #source: BodySource;
  /** Undefined without a connection. */
  #body: Readable | undefined;
  #isOpening = false;
  #received = 0;
  #failures = 0;
  #failedAt = 0;
  /** When the reader's buffer became full; undefined while it has room. */
  #fullSince: number | undefined;
  #isPiped = false;
  /** Bytes of the last chunk while the response that this is piped to sends it. */
  #sending = 0;
  readonly #idleCheck: NodeJS.Timeout;

  /** @param body the first connection */
  constructor(body: Readable, source: BodySource) {
    super({ highWaterMark: 64 * 1024 });
    this.#source = source;
    this.#body = this.#attach(body);
    this.#idleCheck = setInterval(() => {
      this.#releaseIfIdle();
    }, contendedIdleMs).unref();
  }

  override _read(): void {
    // Node asks for more before it passes on what is in the buffer. A pipe asks afterwards.
    if (!this.#isPiped) this.#continue();
  }

  /** A chunk that is being sent takes room in the buffer: it may be larger than that. */
  get #isFull(): boolean {
    return this.#sending + this.readableLength >= this.readableHighWaterMark;
  }

  #continue(): void {
    this.#fullSince = undefined;
    if (this.#body !== undefined) this.#body.resume();
    else if (!this.#isOpening) this.#reopen(0);
  }

  /**
   * Also what `pipeline` calls. Reads nothing while a large chunk is sent, so that a slow client keeps one in memory. Frees each chunk once
   * it is sent, since nobody else has it: otherwise downloads cause many garbage collections, and need new memory for each read.
   */
  override pipe<T extends NodeJS.WritableStream>(destination: T, { end = true } = {}): T {
    this.#isPiped = true;
    this.#borrowChunks();
    if (end) this.once('end', () => destination.end());
    const next = () => {
      this.#sending = 0;
      this.resume();
      // After what is in the buffer was passed on.
      process.nextTick(() => {
        if (!this.destroyed && !this.#isFull) this.#continue();
      });
    };
    destination.on('drain', next);
    this.on('data', (chunk: Buffer) => {
      // It is empty once it is sent.
      const { byteLength } = chunk;
      const mayContinue = destination.write(chunk, () => {
        freeBuffer(chunk);
      });
      if (mayContinue) return;
      this.#sending = byteLength;
      this.pause();
    });
    next();
    return destination;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#idleCheck);
    this.#body?.destroy();
    done(error);
  }

  #borrowChunks(): void {
    const body = this.#body as LendingBody | Readable | undefined;
    if (this.#isPiped && body !== undefined && 'lendsChunks' in body) body.lendsChunks = true;
  }

  #attach(body: Readable): Readable {
    let isOver = false;
    const end = (error?: Error) => {
      if (isOver || this.destroyed || body !== this.#body) return;
      isOver = true;
      body.destroy();
      if (this.#received === this.#source.length) this.push(null);
      else this.#retry(error);
    };
    body.on('data', (bytes: Buffer) => {
      if (isOver || body !== this.#body) return;
      this.#received += bytes.byteLength;
      if (this.#received > this.#source.length) this.destroy(this.#failure('has more bytes than expected'));
      // The last bytes never pause the body: its end returns the connection to the pool at once.
      else if ((!this.push(bytes) || this.#isFull) && this.#received < this.#source.length) {
        this.#fullSince = performance.now();
        body.pause();
      }
    });
    body.on('error', end);
    body.once('end', end);
    body.once('close', end);
    body.pause();
    return body;
  }

  #retry(error = new Error('the response ended early')): void {
    if (this.#received - this.#failedAt >= recoveredAfterBytes) this.#failures = 0;
    this.#failures += 1;
    this.#failedAt = this.#received;
    if (this.#failures === maxFailures) this.destroy(this.#failure('was cut off', error));
    else this.#reopen(retryDelayMs * this.#failures);
  }

  #reopen(delayMs: number): void {
    this.#isOpening = true;
    delay(delayMs)
      .then(async () => await this.#source.reopen(this.#received))
      .then(
        (body) => {
          this.#isOpening = false;
          if (this.destroyed) body.destroy();
          else {
            this.#body = this.#attach(body);
            this.#borrowChunks();
            body.resume();
          }
        },
        (cause: unknown) => this.destroy(this.#failure('was cut off', cause)),
      );
  }

  /** A reader that has stopped reading keeps no connection; it gets a new one when it continues. */
  #releaseIfIdle(): void {
    const limit = this.#source.isContended?.() === true ? contendedIdleMs : idleMs;
    const isIdle = this.#fullSince !== undefined && performance.now() - this.#fullSince >= limit;
    if (!isIdle || this.#isOpening || this.#received === this.#source.length) return;
    const body = this.#body;
    this.#body = undefined;
    body?.destroy();
  }

  #failure(what: string, cause?: unknown): StoreUnavailable {
    return new StoreUnavailable(this.#source.key, `${this.#source.key} ${what}`, { cause });
  }
}
