import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { RegistryError } from '../protocol/errors.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { freeBuffer } from '../storage/free-buffer.ts';
import { requestScope } from '../request-scope.ts';
import type { Limits } from './limits.ts';
import { Pieces } from './pieces.ts';

/** The Content-Length. */
export function contentLength({ headers }: IncomingMessage): number | undefined {
  const announced = headers['content-length'];
  return announced === undefined ? undefined : Number(announced);
}

/** Whether a request has a non-empty body, without consuming it. @throws RegistryError TOO_SLOW */
export async function hasBody(request: IncomingMessage, { withinMs }: Limits['bodyRate']): Promise<boolean> {
  const announced = contentLength(request);
  if (announced !== undefined) return announced > 0;
  // Only HTTP/2 has bodies without either header.
  if (request.headers['transfer-encoding'] === undefined && request.httpVersionMajor < 2) return false;
  if (request.readableLength > 0) return true;
  // A complete empty body never becomes readable.
  if (!request.complete && !request.readableEnded)
    await withTimeout(once(request, 'readable'), withinMs, tooSlow);
  return request.readableLength > 0;
}

/** A higher minimum rate that applies while other requests wait. */
export interface Contention {
  readonly rate: Limits['contendedBodyRate'];
  readonly isContended: () => boolean;
}

/** How often a wait for bytes checks the contended rate. */
const checkIntervalMs = 2_000;

interface BodyOptions {
  readonly contention?: Contention;
  /** Whether a piece is valid only until the next is read. */
  readonly freesPieces?: boolean;
}

/**
 * The body of a request, as long as it keeps a minimum rate. A caller that stops early can still respond: the connection
 * stays open.
 * @throws RegistryError TOO_SLOW
 */
export async function* bodyOf(
  request: IncomingMessage,
  minimum: Limits['bodyRate'],
  { contention, freesPieces = false }: BodyOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const rates = [new MinimumRate(minimum)];
  if (contention !== undefined) rates.push(new MinimumRate(contention.rate, contention.isContended));
  const pieces = new Pieces(request);
  const arrivals = new Arrivals(rates);
  const scope = requestScope();
  try {
    for (;;) {
      const piece = pieces.take() ?? (await arrivals.of(pieces.next()));
      if (piece === undefined) break;
      for (const rate of rates) rate.received(piece.byteLength);
      if (scope !== undefined) scope.bytesReceived += piece.byteLength;
      yield piece;
      if (freesPieces) freeBuffer(piece);
    }
  } finally {
    arrivals.end();
    pieces.end();
  }
}

/** Waits for bytes, one read after the other. All waits share a timer: a body of a gigabyte has 16,000 of them. */
class Arrivals {
  readonly #rates: readonly MinimumRate[];
  /** Runs on between the waits. It is never late: a wait uses up at most the time that has passed. */
  #timer: NodeJS.Timeout;
  #intervalMs = 0;
  #since = 0;
  /** Of the current wait. */
  #reject: ((error: unknown) => void) | undefined;

  constructor(rates: readonly MinimumRate[]) {
    this.#rates = rates;
    this.#timer = this.#start();
  }

  /** @throws RegistryError TOO_SLOW */
  async of<T>(read: Promise<T>): Promise<T> {
    this.#since = performance.now();
    return await new Promise((resolve, reject) => {
      this.#reject = reject;
      read.then((result) => {
        // After a rejection it is ignored.
        const fault = this.#reject === reject ? this.#waited() : undefined;
        this.#reject = undefined;
        if (fault === undefined) resolve(result);
        else reject(fault);
      }, reject);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    this.#intervalMs = Math.max(0, Math.min(checkIntervalMs, ...this.#rates.map((rate) => rate.remainingMs)));
    return setTimeout(() => {
      this.#check();
    }, this.#intervalMs);
  }

  #check(): void {
    const reject = this.#reject;
    const fault = reject && this.#waited();
    this.#timer = this.#start();
    if (fault === undefined) return;
    // Bytes that arrived while this process was busy win.
    setImmediate(() => {
      if (this.#reject === reject) reject?.(fault);
    });
  }

  /** Counts the time since the last call as waited for bytes. @returns an error if it was too much */
  #waited(): RegistryError | undefined {
    const now = performance.now();
    // Any longer, this process was busy.
    const waitedMs = Math.min(this.#intervalMs, now - this.#since);
    this.#since = now;
    const areKept = this.#rates.map((rate) => rate.waited(waitedMs));
    return areKept.every(Boolean) ? undefined : tooSlow();
  }
}

/** Bytes that must arrive per time spent waiting for them. */
class MinimumRate {
  readonly #bytes: number;
  readonly #withinMs: number;
  readonly #isActive: () => boolean;
  #waitedMs = 0;
  #received = 0;

  constructor({ bytes, withinMs }: Limits['bodyRate'], isActive = () => true) {
    this.#bytes = bytes;
    this.#withinMs = withinMs;
    this.#isActive = isActive;
  }

  /** Until the next check. */
  get remainingMs(): number {
    return this.#withinMs - this.#waitedMs;
  }

  received(bytes: number): void {
    this.#received += bytes;
    if (this.#received >= this.#bytes) [this.#waitedMs, this.#received] = [0, 0];
  }

  /** @returns whether it is kept */
  waited(milliseconds: number): boolean {
    this.#waitedMs += milliseconds;
    if (this.#waitedMs < this.#withinMs) return true;
    if (this.#isActive()) return false;
    [this.#waitedMs, this.#received] = [0, 0];
    return true;
  }
}

const tooSlow = () => new RegistryError('TOO_SLOW');
