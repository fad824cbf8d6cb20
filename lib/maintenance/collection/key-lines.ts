import type { Segments } from './segments.ts';

/** Bytes of all lines, so that the number of each fits into that of an owner. */
const maxSize = 2 ** 31 - 1;

/** Bytes in memory from which on a segment is written. */
const segmentBytes = 4 * 1024 * 1024;

/** A line of text with its length before it. */
const headBytes = 4;

/** Bytes that are read at once: of a usual line, all of it. */
const readBytes = 512;

/** Lines of text by number, in segments, with one of them in memory. */
export class KeyLines {
  readonly #segments: Segments;
  /** The number of the first line of each segment, and the next number. */
  readonly #starts: number[];
  #pending: Buffer[] = [];
  #size: number;

  /** @param starts {@link starts} of lines that another process has written in these segments */
  constructor(segments: Segments, starts: readonly number[] = [0]) {
    this.#segments = segments;
    this.#starts = [...starts];
    this.#size = starts.at(-1) ?? 0;
  }

  /** What another process needs to read the lines, once they are flushed. */
  get starts(): readonly number[] {
    return this.#starts;
  }

  /** Whether it should be written, so that memory stays flat. */
  get isFull(): boolean {
    return this.#size - (this.#starts.at(-1) ?? 0) >= segmentBytes;
  }

  /** @returns its number; undefined if there are too many */
  add(line: string): number | undefined {
    const text = Buffer.from(line);
    if (this.#size + headBytes + text.length > maxSize) return undefined;
    const head = Buffer.alloc(headBytes);
    head.writeUInt32LE(text.length);
    const number = this.#size;
    this.#pending.push(head, text);
    this.#size += headBytes + text.length;
    return number;
  }

  /** Writes what is in memory. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    await this.#segments.append(Buffer.concat(this.#pending));
    this.#starts.push(this.#size);
    this.#pending = [];
  }

  /** A line that was flushed. */
  async read(number: number): Promise<string> {
    const segment = this.#starts.findLastIndex((start) => start <= number);
    const at = number - (this.#starts[segment] ?? 0);
    const left = (this.#starts[segment + 1] ?? 0) - number;
    const first = await this.#segments.read(segment, at, Math.min(readBytes, left));
    const end = headBytes + first.readUInt32LE();
    const bytes = end <= first.length ? first : await this.#segments.read(segment, at, end);
    return bytes.toString('utf8', headBytes, end);
  }
}
