import type { IncomingMessage } from 'node:http';

/** `\n` */
const lineFeed = 10;

/** Characters of a chunk's line that are looked at: more than the digits of any size. */
const sizeDigits = 20;

/**
 * Finds the end of a request's body in the bytes that follow its headers (RFC 9112, section 6.3). What is no HTTP is left to
 * Node's parser, which takes nothing after it.
 */
export class BodyEnd {
  readonly #isChunked: boolean;
  /** Of the body, or of the chunk with the end of its line. */
  #left: number;
  /** The beginning of a line that is not all there. */
  #line = '';
  #inTrailers = false;
  #isOver: boolean;

  constructor({ headers }: Pick<IncomingMessage, 'headers'>) {
    const { 'content-length': length = '0', 'transfer-encoding': encoding = '' } = headers;
    this.#isChunked = /(?:^|,)\s*chunked$/i.test(encoding);
    this.#left = this.#isChunked ? 0 : Number(length);
    this.#isOver = !this.#isChunked && this.#left === 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** @returns how many of the bytes that come next belong to the body */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.byteLength && !this.#isOver)
      at += this.#left > 0 ? this.#skip(bytes, at) : this.#read(bytes, at);
    return at;
  }

  #skip(bytes: Buffer, at: number): number {
    const count = Math.min(this.#left, bytes.byteLength - at);
    this.#left -= count;
    this.#isOver = this.#left === 0 && !this.#isChunked;
    return count;
  }

  /** A line of a chunk, or of what follows the last one. */
  #read(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(lineFeed, at);
    const end = feed < 0 ? bytes.byteLength : feed + 1;
    if (this.#line.length < sizeDigits)
      this.#line += bytes.toString('latin1', at, Math.min(end, at + sizeDigits));
    if (feed >= 0) this.#endLine();
    return end - at;
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    if (this.#inTrailers) this.#isOver = line === '\r\n';
    else {
      const size = parseInt(line, 16);
      if (size > 0) this.#left = size + '\r\n'.length;
      else this.#inTrailers = true;
    }
  }
}
