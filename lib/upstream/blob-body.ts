import { Readable } from 'node:stream';
import { UpstreamError } from './upstream.ts';

/** Connections that break one after another, before a body fails. */
const maxFailures = 4;

/** Bytes received since a failure after which it no longer counts. */
const recoveredAfterBytes = 1024 * 1024;

/** The bytes that are read. */
export interface BlobSource {
  /** For messages. */
  readonly what: string;
  /** Expected bytes. */
  readonly length: number;
  /** Opens the rest after this many bytes. */
  readonly reopen: (received: number) => Promise<Readable>;
}

/** The bytes of a blob over connections that may break: it continues where the last one ended. @param first the first connection */
export function continuedBody(first: Readable, source: BlobSource): Readable {
  const connection = { body: first };
  const whole = Readable.from(pieces(connection, source), { objectMode: false, highWaterMark: 64 * 1024 });
  // The generator learns of an early end only with the next piece, which may never come.
  whole.once('close', () => connection.body.destroy());
  return whole;
}

async function* pieces(
  connection: { body: Readable },
  { what, length, reopen }: BlobSource,
): AsyncGenerator<Buffer, void> {
  let [received, failures, failedAt] = [0, 0, 0];
  for (;;) {
    let reason = 'the response ended early';
    try {
      for await (const piece of connection.body as AsyncIterable<Buffer>) {
        received += piece.byteLength;
        if (received > length)
          throw new UpstreamError('unavailable', `${what} has more bytes than announced`);
        yield piece;
      }
    } catch (error) {
      if (error instanceof UpstreamError) throw error;
      reason = (error as Error).message;
    }
    if (received === length) return;
    if (received - failedAt >= recoveredAfterBytes) failures = 0;
    failures += 1;
    failedAt = received;
    if (failures === maxFailures)
      throw new UpstreamError(
        'unavailable',
        `${what} was cut off after ${received} of ${length} bytes: ${reason}`,
      );
    connection.body = await reopen(received);
  }
}

/** The bytes of a range, of a body that starts before it. */
export function cutOut(body: Readable, start: number, length: number): Readable {
  const cut = Readable.from(rangeOf(body, start, length), { objectMode: false });
  cut.once('close', () => body.destroy());
  return cut;
}

async function* rangeOf(body: Readable, start: number, length: number): AsyncGenerator<Buffer, void> {
  let at = 0;
  const end = start + length;
  for await (const piece of body as AsyncIterable<Buffer>) {
    const wanted = piece.subarray(Math.max(0, start - at), Math.max(0, end - at));
    at += piece.byteLength;
    if (wanted.byteLength > 0) yield wanted;
    if (at >= end) return;
  }
}
