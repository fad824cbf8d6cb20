import { isAlias, isMap, isScalar, isSeq, type LineCounter, type ParsedNode } from 'yaml';
import { didYouMean } from '../../config/did-you-mean.ts';
import { PolicyError, type PolicyFault } from './policy-error.ts';
import { maxFaults, parsePolicy, quoteHint } from './yaml-document.ts';

/** A node of the file; null for a missing value. */
export type YamlNode = ParsedNode | null;

/** An entry of a mapping. */
export interface Entry {
  readonly key: string;
  readonly keyNode: ParsedNode;
  readonly value: YamlNode;
}

/** A text in the file, and its node. */
export interface Text {
  readonly text: string;
  readonly node: ParsedNode;
}

/**
 * Reads a YAML document as texts, lists and mappings, and collects its faults. All scalars are texts, so that a tag 1.0 stays
 * unchanged. Aliases are refused, so that a document cannot be larger than its text.
 */
export class YamlReader {
  readonly #faults = new Map<string, PolicyFault>();
  readonly #lines: LineCounter;
  readonly root: YamlNode;

  /** @throws PolicyError if it is not YAML */
  constructor(text: string) {
    const { root, lines, faults, isReadable } = parsePolicy(text);
    this.root = root;
    this.#lines = lines;
    for (const { line, message } of faults) this.#add(line, message);
    if (!isReadable) this.assertValid();
  }

  /** Line number, from 1. */
  lineOf(node: YamlNode): number {
    return Math.max(1, this.#lines.linePos(node?.range[0] ?? 0).line);
  }

  fault(node: YamlNode, message: string): void {
    this.#add(this.lineOf(node), message);
  }

  #add(line: number, message: string): void {
    if (this.#faults.size < maxFaults) this.#faults.set(`${line} ${message}`, { line, message });
  }

  /** @throws PolicyError if there are faults */
  assertValid(): void {
    if (this.#faults.size > 0) throw new PolicyError([...this.#faults.values()]);
  }

  /** Whether a value is missing, `~` or `null`. */
  isEmpty(node: YamlNode): boolean {
    return (
      node === null || (isScalar(node) && node.type === 'PLAIN' && /^(?:|~|null)$/.test(String(node.value)))
    );
  }

  isEmptyList(node: YamlNode): boolean {
    return isSeq(node) && node.items.length === 0;
  }

  isMapping(node: YamlNode): boolean {
    return isMap(node);
  }

  /** The keys of a mapping, without faults. */
  keys(node: YamlNode): string[] {
    return isMap(node) ? node.items.flatMap(({ key }) => (isScalar(key) ? [String(key.value)] : [])) : [];
  }

  /**
   * The entries of a mapping in order, without duplicates.
   * @param what name of the mapping in faults
   * @param known allowed keys; all by default
   */
  entries(node: YamlNode, what: string, known?: readonly string[]): Entry[] {
    if (!isMap(node)) {
      this.#faultOfKind(node, what, 'a mapping (key: value)');
      return [];
    }
    const entries = new Map<string, Entry>();
    for (const { key: keyNode, value } of node.items) {
      const key = this.text(keyNode, `a key of ${what}`)?.text;
      if (key === undefined) continue;
      if (entries.has(key)) this.fault(keyNode, `${what} has ${key} twice`);
      else if (known?.includes(key) === false) this.#faultOfKey(keyNode, what, key, known);
      else entries.set(key, { key, keyNode, value });
    }
    return [...entries.values()];
  }

  #faultOfKey(node: YamlNode, what: string, key: string, known: readonly string[]): void {
    // Suggestions take time, and further faults are dropped.
    if (this.#faults.size >= maxFaults) return;
    const hint = didYouMean(key, known) ?? `the keys are ${known.join(', ')}`;
    this.fault(node, `${what} has no key ${shown(key)}; ${hint}`);
  }

  /** The items of a list. */
  items(node: YamlNode, what: string): readonly ParsedNode[] {
    if (isSeq(node)) return node.items;
    this.#faultOfKind(node, what, 'a list');
    return [];
  }

  /** Reads a single text. */
  text(node: YamlNode, what: string): Text | undefined {
    if (isScalar(node) && !this.isEmpty(node)) return { text: String(node.value), node };
    this.#faultOfKind(node, what, 'a text');
    return undefined;
  }

  /** Reads a text, or a list of one or more texts. */
  texts(node: YamlNode, what: string): Text[] {
    if (!isSeq(node)) return [this.text(node, what)].filter((text) => text !== undefined);
    if (node.items.length === 0) this.fault(node, `${what} is an empty list`);
    return node.items
      .map((item) => this.text(item, `an item of ${what}`))
      .filter((text) => text !== undefined);
  }

  /** Reads a text that is one of the options. */
  choice<const T extends string>(node: YamlNode, what: string, options: readonly T[]): T | undefined {
    const given = this.text(node, what);
    return given === undefined ? undefined : this.oneOf(given, what, options);
  }

  oneOf<const T extends string>({ text, node }: Text, what: string, options: readonly T[]): T | undefined {
    const option = options.find((option) => option === text);
    if (option === undefined)
      this.fault(
        node,
        `${what} cannot be ${shown(text)}; ${didYouMean(text, options) ?? `it can be ${options.join(', ')}`}`,
      );
    return option;
  }

  #faultOfKind(node: YamlNode, what: string, kind: string): void {
    if (isAlias(node)) this.fault(node, quoteHint);
    else
      this.fault(
        node,
        this.isEmpty(node) ? `${what} is empty; it must be ${kind}` : `${what} must be ${kind}`,
      );
  }
}

/** Quotes a text for a message: shortened, and on one line. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
