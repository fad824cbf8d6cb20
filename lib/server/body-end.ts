import type { IncomingMessage } from 'node:http';

/** `\n` */
const lineFeed = 10;

/** Characters that are kept of a chunk's size line, more than any size has. */
const maxSizeChars = 20;

/**
 * Finds the end of a request body in the bytes after the headers (RFC 9112, section 6.3). Invalid HTTP is left to Node's
 * parser, which then takes no more requests.
 */
export class BodyEnd {
  readonly #isChunked: boolean;
  /** Bytes left of the body, or of the chunk and its line end. */
  #left: number;
  /** The start of an incomplete line. */
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

  /** @returns how many of the bytes belong to the body */
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

  /** Reads a size line or a trailer. */
  #read(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(lineFeed, at);
    const end = feed < 0 ? bytes.byteLength : feed + 1;
    if (this.#line.length < maxSizeChars)
      this.#line += bytes.toString('latin1', at, Math.min(end, at + maxSizeChars));
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
