/** Nested lists and maps in a setting. More has no meaning in any setting. */
const maxDepth = 16;

/**
 * Reads the value of a list or map from one line: JSON, or YAML in flow style such as `[a, b]` and `{a: [b, c]}`. Scalars of
 * JSON (numbers, `true`, `false`, `null`) keep their types; all others are texts. The library `yaml` is too large to be
 * loaded for this at the start of a function.
 * @throws SyntaxError which says what was expected, without the text, which may be secret
 */
export function parseFlow(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return /^\s*[[{"']/.test(text) ? new FlowReader(text).document() : text.trim();
  }
}

/** Recursive descent. */
class FlowReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
    const value = this.#value(0);
    if (this.#next() !== '') throw new SyntaxError('there is text after the end');
    return value;
  }

  /** The next character that is not a space, or an empty text at the end. */
  #next(): string {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
    return this.#text.charAt(this.#at);
  }

  #value(depth: number): unknown {
    if (depth > maxDepth) throw new SyntaxError('it is nested too deeply');
    switch (this.#next()) {
      case '[':
        return this.#items(']', () => this.#value(depth + 1));
      case '{':
        return this.#map(depth);
      case '"':
      case "'":
        return this.#quoted();
      default:
        return scalar(this.#plain());
    }
  }

  #map(depth: number): unknown {
    const entries = this.#items('}', (): [string, unknown] => [this.#key(), this.#value(depth + 1)]);
    const keys = new Set(entries.map(([key]) => key));
    if (keys.size < entries.length) throw new SyntaxError('a key is there twice');
    return Object.fromEntries(entries);
  }

  /** Items between commas; a comma may follow the last one. */
  #items<T>(end: ']' | '}', read: () => T): T[] {
    this.#at++;
    const items: T[] = [];
    while (this.#next() !== end) {
      items.push(read());
      const mark = this.#next();
      if (mark === ',') this.#at++;
      else if (mark !== end) throw new SyntaxError(`"," or "${end}" is missing`);
    }
    this.#at++;
    return items;
  }

  #key(): string {
    const quote = this.#next();
    const key = quote === '"' || quote === "'" ? this.#quoted() : this.#plain();
    if (this.#next() !== ':') throw new SyntaxError('":" is missing after a key');
    this.#at++;
    return key;
  }

  #quoted(): string {
    const pattern = this.#next() === '"' ? /"(?:[^"\\]|\\.)*"/y : /'(?:[^']|'')*'/y;
    const text = this.#match(pattern);
    if (text === undefined) throw new SyntaxError('a quote is missing');
    return text.startsWith('"') ? unescaped(text) : text.slice(1, -1).replaceAll("''", "'");
  }

  /** Ends at a bracket, a comma, or a colon before a space, as in YAML. */
  #plain(): string {
    this.#next();
    const text = this.#match(/(?:[^,[\]{}:]|:(?![\s,[\]{}]|$))+/y)?.trim();
    if (text === undefined) throw new SyntaxError('a value is missing');
    return text;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [text] = pattern.exec(this.#text) ?? [];
    this.#at += text?.length ?? 0;
    return text;
  }
}

function unescaped(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    // JSON's own message repeats the text.
    throw new SyntaxError('a text in double quotes has an unknown escape');
  }
}

/** A word as JSON has it: a number, `true`, `false`, `null`; else a text. */
export function scalar(text: string): unknown {
  return /^(?:true|false|null|-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?)$/.test(text) ? JSON.parse(text) : text;
}
