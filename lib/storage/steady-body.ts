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
}

/**
 * The bytes of an object over connections that may break off: it is opened again where it did. Ends early only with an
 * error, and lets go of its connection when it is destroyed, as Node's own stream of an answer does not.
 */
export class SteadyBody extends Readable {
  readonly #source: BodySource;
  #body: Readable;
  #passed = 0;
  #failures = 0;
  #failedAt = 0;

  /** @param body its beginning */
  constructor(body: Readable, source: BodySource) {
    super({ highWaterMark: 256 * 1024 });
    this.#source = source;
    this.#body = this.#follow(body);
  }

  override _read(): void {
    this.#body.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#body.destroy();
    done(error);
  }

  #follow(body: Readable): Readable {
    let isOver = false;
    const end = (error?: Error) => {
      if (isOver || this.destroyed) return;
      isOver = true;
      body.destroy();
      this.#end(error);
    };
    body.on('data', (bytes: Buffer) => {
      if (isOver) return;
      this.#passed += bytes.byteLength;
      if (this.#passed > this.#source.length) this.destroy(this.#broken('has more bytes than it should'));
      else if (!this.push(bytes)) body.pause();
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
    if (this.#passed - this.#failedAt >= wellAfter) this.#failures = 0;
    this.#failures += 1;
    this.#failedAt = this.#passed;
    if (this.#failures === attempts) throw error ?? new Error('the answer ended early');
    await delay(pause * this.#failures);
    this.#goOn(await this.#source.reopen(this.#passed));
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
