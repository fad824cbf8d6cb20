import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { StoreUnavailable } from './store.ts';

/** How often in a row a body may break off, and milliseconds before it is opened again, more each time. */
const attempts = 4;
const pause = 100;

/** Bytes after which a body that broke off counts as one that goes on well. */
const wellAfter = 1024 * 1024;

/** A part of an object that is to be streamed. */
export interface BodySource {
  readonly key: string;
  /** Bytes there must be. */
  readonly length: number;
  /** Opens the rest of it, after so many bytes. @throws when that is not of the same content any more */
  readonly reopen: (passed: number) => Promise<Readable>;
  /** Whether others wait for its connection. */
  readonly isContended?: () => boolean;
}

/** Milliseconds that a reader may take nothing before the connection is let go, and the same while others wait for it. */
const idleMs = 10_000;
const contendedIdleMs = 1_000;

/**
 * The bytes of an object over connections that may break off: it is opened again where it did. Ends early only with an
 * error, and lets go of its connection when it is destroyed, as Node's own stream of an answer does not.
 */
export class ReconnectingBody extends Readable {
  readonly #source: BodySource;
  /** Undefined while there is no connection. */
  #body: Readable | undefined;
  #isOpening = false;
  #passed = 0;
  #failures = 0;
  #failedAt = 0;
  /** When the reader had enough; undefined while it takes more. */
  #fullSince: number | undefined;
  readonly #watch: NodeJS.Timeout;

  /** @param body its beginning */
  constructor(body: Readable, source: BodySource) {
    super({ highWaterMark: 64 * 1024 });
    this.#source = source;
    this.#body = this.#follow(body);
    this.#watch = setInterval(() => {
      this.#letGoIfIdle();
    }, contendedIdleMs).unref();
  }

  override _read(): void {
    this.#fullSince = undefined;
    if (this.#body !== undefined) this.#body.resume();
    else if (!this.#isOpening)
      this.#reopen().catch((cause: unknown) => {
        this.destroy(this.#broken('broke off', cause));
      });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#watch);
    this.#body?.destroy();
    done(error);
  }

  #follow(body: Readable): Readable {
    let isOver = false;
    const end = (error?: Error) => {
      if (isOver || this.destroyed || body !== this.#body) return;
      isOver = true;
      body.destroy();
      this.#end(error);
    };
    body.on('data', (bytes: Buffer) => {
      if (isOver || body !== this.#body) return;
      this.#passed += bytes.byteLength;
      if (this.#passed > this.#source.length) this.destroy(this.#broken('has more bytes than it should'));
      // After the last of them its end is heard at once, whatever the reader takes: that gives the connection back.
      else if (!this.push(bytes) && this.#passed < this.#source.length) {
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

  #end(error?: Error): void {
    if (this.#passed === this.#source.length) this.push(null);
    else
      this.#again(error).catch((cause: unknown) => {
        this.destroy(this.#broken('broke off', cause));
      });
  }

  async #again(error: Error | undefined): Promise<void> {
    this.#isOpening = true;
    if (this.#passed - this.#failedAt >= wellAfter) this.#failures = 0;
    this.#failures += 1;
    this.#failedAt = this.#passed;
    if (this.#failures === attempts) throw error ?? new Error('the answer ended early');
    await delay(pause * this.#failures);
    await this.#reopen();
  }

  async #reopen(): Promise<void> {
    this.#isOpening = true;
    const body = await this.#source.reopen(this.#passed);
    this.#isOpening = false;
    this.#goOn(body);
  }

  /** A reader that takes nothing keeps no connection from others: it gets another one when it goes on. */
  #letGoIfIdle(): void {
    const limit = this.#source.isContended?.() === true ? contendedIdleMs : idleMs;
    const isIdle = this.#fullSince !== undefined && performance.now() - this.#fullSince >= limit;
    if (!isIdle || this.#isOpening || this.#passed === this.#source.length) return;
    const body = this.#body;
    this.#body = undefined;
    body?.destroy();
  }

  #goOn(body: Readable): void {
    if (this.destroyed) {
      body.destroy();
      return;
    }
    this.#body = this.#follow(body);
    this.#body.resume();
  }

  #broken(how: string, cause?: unknown): StoreUnavailable {
    return new StoreUnavailable(this.#source.key, `${this.#source.key} ${how}`, { cause });
  }
}
