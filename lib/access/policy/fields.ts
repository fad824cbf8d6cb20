import type { Text, YamlNode, YamlReader } from './yaml-reader.ts';

/** The values of a mapping with known keys. Missing keys are faults. */
export class Fields {
  readonly what: string;
  readonly node: YamlNode;
  readonly #reader: YamlReader;
  readonly #values: ReadonlyMap<string, YamlNode>;
  readonly #isMapping: boolean;

  /** @param what name of the mapping in faults */
  constructor(reader: YamlReader, node: YamlNode, what: string, known: readonly string[]) {
    this.what = what;
    this.node = node;
    this.#reader = reader;
    this.#isMapping = reader.isMapping(node);
    this.#values = new Map(reader.entries(node, what, known).map(({ key, value }) => [key, value]));
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** The value of a key, or undefined if it is missing. @param read gets the value, and its name for faults */
  optional<T>(key: string, read: (value: YamlNode, what: string) => T): T | undefined {
    const value = this.#values.get(key);
    return value === undefined ? undefined : read(value, `${key} of ${this.what}`);
  }

  /** The value of a required key. */
  required<T>(key: string, read: (value: YamlNode, what: string) => T): T | undefined {
    if (!this.has(key)) this.fault(`${this.what} has no ${key}`);
    return this.optional(key, read);
  }

  requiredText(key: string): Text | undefined {
    return this.required(key, (value, what) => this.#reader.text(value, what));
  }

  /** Adds a fault of the whole mapping, unless its kind was a fault already. */
  fault(message: string): void {
    if (this.#isMapping) this.#reader.fault(this.node, message);
  }
}
