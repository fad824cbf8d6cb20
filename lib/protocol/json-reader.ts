/** Limits for untrusted documents. */
export interface JsonLimits {
  /** Of nested objects and lists. */
  readonly depth: number;
  /** Values of any kind. */
  readonly values: number;
  /** Whether objects may repeat keys. Parsers disagree: the last value wins, or the first, or Go merges both. */
  readonly repeatedKeys: boolean;
}

/** The document is not JSON (RFC 8259) or exceeds the limits. */
export class JsonError extends Error {
  /** The exceeded limit, as a predicate of the document; undefined if it is not JSON. */
  readonly fault: string | undefined;

  constructor(fault?: string) {
    super(fault ?? 'not JSON');
    this.fault = fault;
  }
}

export type JsonKind = 'object' | 'list' | 'text' | 'number' | 'boolean' | 'null';

/**
 * Reads JSON value by value, in one pass over its bytes. Only requested values become JavaScript values: otherwise a few
 * megabytes with a million small values would take seconds and hundreds of megabytes. UTF-8 is not validated. Each method
 * consumes exactly one value and throws JsonError if it is malformed.
 */
export class JsonReader {
  readonly #bytes: Buffer;
  readonly #limits: JsonLimits;
  #at = 0;
  #depth = 0;
  #values = 0;

  constructor(bytes: Uint8Array, limits: JsonLimits) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limits = limits;
  }

  /** The kind of the next value, by its first byte. */
  kind(): JsonKind {
    const byte = this.#peek();
    if (byte === quote) return 'text';
    if (byte === openBrace) return 'object';
    if (byte === openBracket) return 'list';
    if (byte === minus || isDigit(byte)) return 'number';
    if (byte === letterN) return 'null';
    if (byte === letterT || byte === letterF) return 'boolean';
    throw new JsonError();
  }

  /** @param member consumes the value of each key */
  object(member: (key: string) => void): void {
    const container = this.#open(openBrace);
    if (!this.#take(closeBrace))
      do member(this.#key(container));
      while (this.#goesOn(container));
    this.#depth--;
  }

  /** @param item consumes each entry */
  list(item: (index: number) => void): void {
    let index = 0;
    const container = this.#open(openBracket);
    if (!this.#take(closeBracket))
      do item(index++);
      while (this.#goesOn(container));
    this.#depth--;
  }

  text(): string {
    this.#count();
    return this.#text();
  }

  /** Reads a value of this kind; skips any other and returns undefined. */
  ifKind<T>(kind: JsonKind, read: () => T): T | undefined {
    if (this.kind() === kind) return read();
    this.skip();
    return undefined;
  }

  textIfAny(): string | undefined {
    return this.ifKind('text', () => this.text());
  }

  /** As written: not every parser reads every form of a whole number. */
  number(): string {
    this.#peek();
    const start = this.#at;
    this.#number();
    return this.#bytes.toString('latin1', start, this.#at);
  }

  /** Skips a value of any depth, without recursion. */
  skip(): void {
    const open: Container[] = [];
    do {
      const byte = this.#peek();
      if (byte === openBrace || byte === openBracket) {
        const container = this.#open(byte);
        open.push(container);
        if (!this.#take(container.close)) {
          this.#skipKey(container);
          continue;
        }
        this.#leave(open);
      } else this.#skipScalar(byte);
      for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
        if (this.#goesOn(last)) {
          this.#skipKey(last);
          break;
        }
        this.#leave(open);
      }
    } while (open.length > 0);
  }

  /** @throws JsonError if anything follows */
  end(): void {
    if (this.#space() !== undefined) throw new JsonError();
  }

  #leave(open: unknown[]): void {
    open.pop();
    this.#depth--;
  }

  #open(byte: number): Container {
    this.#count();
    this.#expect(byte);
    const { depth, repeatedKeys } = this.#limits;
    if (++this.#depth > depth) throw new JsonError(`may be nested ${depth} deep at most`);
    if (byte === openBracket) return list;
    return repeatedKeys ? object : { close: closeBrace, comparesKeys: true, keys: undefined };
  }

  /** @returns whether another entry follows; the reader is then positioned before it */
  #goesOn({ close }: Container): boolean {
    if (this.#take(close)) return false;
    this.#expect(comma);
    return true;
  }

  /** Skips the key in an object. The key is decoded only if it must be compared. */
  #skipKey(container: Container): void {
    if (container.comparesKeys) this.#key(container);
    else if (container.close === closeBrace) {
      this.#expectText();
      this.#expect(colon);
    }
  }

  /** A key and its colon. */
  #key(container: Container): string {
    // Compares decoded keys: "a" and "\u0061" are the same.
    const key = this.#text();
    this.#expect(colon);
    if (!container.comparesKeys) return key;
    container.keys ??= new Set();
    if (container.keys.size === container.keys.add(key).size)
      throw new JsonError(`has ${JSON.stringify(key.slice(0, 200))} twice in one object`);
    return key;
  }

  #text(): string {
    const isPlain = this.#expectText();
    const [start, end] = [this.#start, this.#at - 1];
    if (isPlain) return this.#bytes.toString('utf8', start, end);
    // Go replaces lone surrogates as well.
    return (JSON.parse(this.#bytes.toString('utf8', start - 1, end + 1)) as string).toWellFormed();
  }

  /** Offset of the first byte after the opening quote of the last text. */
  #start = 0;

  /** Skips a text. @returns whether it has no escapes */
  #expectText(): boolean {
    this.#expect(quote);
    const bytes = this.#bytes;
    let [at, isPlain] = [this.#at, true];
    this.#start = at;
    for (;;) {
      const byte = bytes[at++];
      if (byte === quote) break;
      if (byte === undefined || byte < space) throw new JsonError();
      if (byte !== backslash) continue;
      isPlain = false;
      at = this.#escape(at);
    }
    this.#at = at;
    return isPlain;
  }

  /** @param at offset after the backslash @returns offset after the escape */
  #escape(at: number): number {
    const byte = this.#bytes[at] ?? 0;
    if (byte !== letterU) {
      if (!escapes.includes(byte)) throw new JsonError();
      return at + 1;
    }
    for (let i = 1; i <= 4; i++) if (!isHex(this.#bytes[at + i] ?? 0)) throw new JsonError();
    return at + 5;
  }

  #skipScalar(byte: number): void {
    if (byte === minus || isDigit(byte)) {
      this.#number();
      return;
    }
    this.#count();
    if (byte === quote) this.#expectText();
    else if (byte === letterN) this.#word('null');
    else if (byte === letterT) this.#word('true');
    else this.#word('false');
  }

  #word(word: string): void {
    const end = this.#at + word.length;
    if (this.#bytes.toString('latin1', this.#at, end) !== word) throw new JsonError();
    this.#at = end;
  }

  #number(): void {
    this.#count();
    if (this.#bytes[this.#at] === minus) this.#at++;
    if (this.#bytes[this.#at] === zero) this.#at++;
    else this.#digits();
    if (this.#bytes[this.#at] === dot) {
      this.#at++;
      this.#digits();
    }
    const exponent = this.#bytes[this.#at];
    if (exponent !== letterE && exponent !== capitalE) return;
    const sign = this.#bytes[++this.#at];
    if (sign === plus || sign === minus) this.#at++;
    this.#digits();
  }

  #digits(): void {
    let at = this.#at;
    while (isDigit(this.#bytes[at] ?? 0)) at++;
    if (at === this.#at) throw new JsonError();
    this.#at = at;
  }

  #count(): void {
    const { values } = this.#limits;
    if (++this.#values > values) throw new JsonError(`may have ${values} values at most`);
  }

  #expect(byte: number): void {
    if (!this.#take(byte)) throw new JsonError();
  }

  #take(byte: number): boolean {
    if (this.#space() !== byte) return false;
    this.#at++;
    return true;
  }

  #peek(): number {
    const byte = this.#space();
    if (byte === undefined) throw new JsonError();
    return byte;
  }

  /** The next byte after white space. */
  #space(): number | undefined {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== space && byte !== lineFeed && byte !== carriageReturn && byte !== tab) return byte;
      this.#at++;
    }
  }
}

/** An open object or list. */
interface Container {
  /** Its closing byte. */
  readonly close: number;
  readonly comparesKeys: boolean;
  /** Keys so far, if they are compared. */
  keys: Set<string> | undefined;
}

const code = (character: string): number => character.charCodeAt(0);

const [openBrace, closeBrace, openBracket, closeBracket] = [code('{'), code('}'), code('['), code(']')];
const [quote, backslash, colon, comma] = [code('"'), code('\\'), code(':'), code(',')];
const [space, lineFeed, carriageReturn, tab] = [code(' '), code('\n'), code('\r'), code('\t')];
const [zero, nine, minus, plus, dot] = [code('0'), code('9'), code('-'), code('+'), code('.')];
const [letterN, letterT, letterF, letterU, letterE, capitalE] = [
  ...[code('n'), code('t'), code('f'), code('u')],
  ...[code('e'), code('E')],
];
/** Shared by all containers without state. */
const list: Container = { close: closeBracket, comparesKeys: false, keys: undefined };
const object: Container = { close: closeBrace, comparesKeys: false, keys: undefined };

const escapes = ['"', '\\', '/', 'b', 'f', 'n', 'r', 't'].map(code);

function isDigit(byte: number): boolean {
  return byte >= zero && byte <= nine;
}

function isHex(byte: number): boolean {
  // Letters of either case.
  const letter = byte | 0x20;
  return isDigit(byte) || (letter >= 0x61 && letter <= 0x66);
}
