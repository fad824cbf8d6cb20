import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { RegistryError } from '../protocol/errors.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import type { Limits } from './limits.ts';

/** Bytes a request announces for its body, if it does. Koa's own reading of it ends at 2 GiB. */
export function contentLength({ headers }: IncomingMessage): number | undefined {
  const announced = headers['content-length'];
  return announced === undefined ? undefined : Number(announced);
}

/**
 * Whether a request has any bytes of a body, found out without taking them: a body of unknown length may be empty.
 * @throws RegistryError TOO_SLOW
 */
export async function hasBody(request: IncomingMessage, { withinMs }: Limits['bodyRate']): Promise<boolean> {
  const announced = contentLength(request);
  if (announced !== undefined) return announced > 0;
  if (request.headers['transfer-encoding'] === undefined) return false;
  if (request.readableLength > 0) return true;
  // One that is all there and empty never becomes readable, it only ends.
  if (!request.complete && !request.readableEnded)
    await withTimeout(once(request, 'readable'), withinMs, tooSlow);
  return request.readableLength > 0;
}

/** What a body must bring while others wait for its place, and whether any do. */
export interface Contention {
  readonly pace: Limits['contendedBodyRate'];
  readonly isContended: () => boolean;
}

/** Milliseconds after which a wait for bytes is looked at again. */
const lookAgain = 2_000;

/**
 * The bytes of a request's body, as long as they come at a pace. One who stops reading early may still answer: the
 * connection stays.
 * @throws RegistryError TOO_SLOW
 */
export async function* bodyOf(
  request: IncomingMessage,
  pace: Limits['bodyRate'],
  contention?: Contention,
): AsyncGenerator<Uint8Array, void> {
  const pieces = request.iterator({ destroyOnReturn: false }) as AsyncGenerator<Buffer, void>;
  const paces = [new Pace(pace)];
  if (contention !== undefined) paces.push(new Pace(contention.pace, contention.isContended));
  let late = true;
  try {
    for (;;) {
      const piece = await nextInTime(pieces.next(), paces);
      if (piece.done === true) break;
      for (const each of paces) each.received(piece.value.byteLength);
      late = false;
      yield piece.value;
      late = true;
    }
  } finally {
    // It would wait for the piece that does not come.
    if (!late) await pieces.return();
  }
}

/** @throws RegistryError TOO_SLOW when that breaks one of the paces */
async function nextInTime<T>(coming: Promise<T>, paces: readonly Pace[]): Promise<T> {
  for (;;) {
    const left = Math.min(lookAgain, ...paces.map((pace) => pace.left));
    const began = performance.now();
    const next = await withTimeout(coming, left, () => new Waited()).catch((error: unknown) => {
      if (error instanceof Waited) return error;
      throw error;
    });
    // Longer than it was to be, this process was busy.
    const waited = Math.min(left, performance.now() - began);
    const isLate = next instanceof Waited;
    for (const pace of paces) pace.waited(isLate ? left : waited);
    if (!isLate) return next;
  }
}

class Waited extends Error {}

/** The least that must come in a time of waiting for it. */
class Pace {
  readonly #bytes: number;
  readonly #within: number;
  readonly #applies: () => boolean;
  #waited = 0;
  #received = 0;

  /** @param applies whether it is to be kept just now */
  constructor({ bytes, withinMs }: Limits['bodyRate'], applies = () => true) {
    this.#bytes = bytes;
    this.#within = withinMs;
    this.#applies = applies;
  }

  /** Milliseconds until the next look at it. */
  get left(): number {
    return this.#within - this.#waited;
  }

  received(bytes: number): void {
    this.#received += bytes;
    if (this.#received >= this.#bytes) [this.#waited, this.#received] = [0, 0];
  }

  /** @throws RegistryError TOO_SLOW */
  waited(milliseconds: number): void {
    this.#waited += milliseconds;
    if (this.#waited < this.#within) return;
    if (this.#applies()) throw tooSlow();
    [this.#waited, this.#received] = [0, 0];
  }
}

const tooSlow = () => new RegistryError('TOO_SLOW');
