import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { RegistryError } from '../protocol/errors.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { requestScope } from '../request-scope.ts';
import type { Limits } from './limits.ts';

/** The Content-Length, which Koa parses only below 2 GiB. */
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

/**
 * The body of a request, as long as it keeps a minimum rate. A caller that stops early can still respond: the connection
 * stays open.
 * @throws RegistryError TOO_SLOW
 */
export async function* bodyOf(
  request: IncomingMessage,
  minimum: Limits['bodyRate'],
  contention?: Contention,
): AsyncGenerator<Uint8Array, void> {
  const pieces = request.iterator({ destroyOnReturn: false }) as AsyncGenerator<Buffer, void>;
  const rates = [new MinimumRate(minimum)];
  if (contention !== undefined) rates.push(new MinimumRate(contention.rate, contention.isContended));
  const scope = requestScope();
  let isWaiting = true;
  try {
    for (;;) {
      const piece = await withMinimumRates(pieces.next(), rates);
      if (piece.done === true) break;
      for (const rate of rates) rate.received(piece.value.byteLength);
      if (scope !== undefined) scope.bytesReceived += piece.value.byteLength;
      isWaiting = false;
      yield piece.value;
      isWaiting = true;
    }
  } finally {
    // While a read is pending, this would wait for it.
    if (!isWaiting) await pieces.return();
  }
}

/** @throws RegistryError TOO_SLOW */
async function withMinimumRates<T>(read: Promise<T>, rates: readonly MinimumRate[]): Promise<T> {
  for (;;) {
    const timeoutMs = Math.min(checkIntervalMs, ...rates.map((rate) => rate.remainingMs));
    const started = performance.now();
    const next = await withTimeout(read, timeoutMs, () => new CheckDue()).catch((error: unknown) => {
      if (error instanceof CheckDue) return error;
      throw error;
    });
    const isDue = next instanceof CheckDue;
    // Any longer, this process was busy.
    const waitedMs = isDue ? timeoutMs : Math.min(timeoutMs, performance.now() - started);
    for (const rate of rates) rate.waited(waitedMs);
    if (!isDue) return next;
  }
}

class CheckDue extends Error {}

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

  /** @throws RegistryError TOO_SLOW */
  waited(milliseconds: number): void {
    this.#waitedMs += milliseconds;
    if (this.#waitedMs < this.#withinMs) return;
    if (this.#isActive()) throw tooSlow();
    [this.#waitedMs, this.#received] = [0, 0];
  }
}

const tooSlow = () => new RegistryError('TOO_SLOW');
