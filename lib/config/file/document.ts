import { open } from 'node:fs/promises';
import { isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Scalar } from 'yaml';
import { parseYaml } from '../../yaml/parse.ts';
import { ConfigError } from '../settings.ts';
import { syntaxFault } from './syntax-faults.ts';

/** A value of the file, and the line where it begins, from 1. Texts are as written: `0.1`, `true`, `10s`. */
export interface FileValue {
  readonly line: number;
  readonly value: string | null | readonly FileValue[] | ReadonlyMap<string, FileValue>;
  /** Whether a text is without quotes, so that it may be a number or `true`. */
  readonly isPlain: boolean;
}

/** The reference configuration of distribution has 7 KiB. */
const maxBytes = 256 * 1024;

const limits = { maxTokens: 50_000, maxFaults: 10, warningsCount: false };

/** Values after aliases are followed. */
const maxValues = 10_000;

const maxDepth = 32;

/** Reads the file. @throws ConfigError if it cannot be read or is not YAML */
export async function readDocument(path: string): Promise<FileValue> {
  const text = await readText(path);
  const { root, lines, faults } = parseYaml(text, limits);
  if (faults.length > 0) throw new ConfigError([...new Set(faults.map(syntaxFault))], `in ${path}`);
  try {
    const walk = new Walk(text, lines);
    const value = walk.read(root, 0, 1);
    walk.assertAnchorsUsed();
    return value;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new ConfigError([error.message], `in ${path}`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      // Of a pipe, only the bytes themselves tell.
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      for (let read = 1; read > 0 && length < buffer.length; length += read)
        read = (await file.read(buffer, length)).bytesRead;
      if (length > maxBytes)
        throw new ConfigError(
          [`it has ${Math.max(size, length)} bytes, and at most ${maxBytes} are read`],
          `in ${path}`,
        );
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`the configuration file ${path} ${whyUnreadable(error)}`]);
  }
}

function whyUnreadable(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return 'does not exist; correct the argument, or REGISTRY_CONFIGURATION_PATH';
    case 'EISDIR':
      return 'is a folder; name the file in it';
    case 'EACCES':
      return 'must not be read by this user; change its owner or mode';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'is not UTF-8 text';
    default:
      return `cannot be read: ${message}`;
  }
}

class Fault extends Error {}

/** The tags of YAML itself. Their values are texts like all others. */
const knownTag = /^tag:yaml\.org,2002:(?:str|int|bool|float|null|map|seq)$/;

/** Follows aliases and merge keys, and stops at {@link maxValues}. No message quotes a value, which may be secret. */
class Walk {
  readonly #text: string;
  readonly #lines: LineCounter;
  /** By name. The library's own search for an alias goes through the whole file. */
  readonly #anchored = new Map<string, Node>();
  /** Anchors of texts to which no alias has referred, and their lines. */
  readonly #unused = new Map<Node, number>();
  #values = 0;

  constructor(text: string, lines: LineCounter) {
    this.#text = text;
    this.#lines = lines;
  }

  read(node: Node | null | undefined, depth: number, parentLine: number): FileValue {
    const line = node?.range ? Math.max(1, this.#lines.linePos(node.range[0]).line) : parentLine;
    if (++this.#values > maxValues || depth > maxDepth)
      throw new Fault(`line ${line}: the file has more than ${maxValues} values, or ${maxDepth} levels`);
    if (isAlias(node)) return { ...this.read(this.#resolve(node.source, line), depth + 1, line), line };
    if (node?.tag !== undefined && !knownTag.test(node.tag))
      throw new Fault(`line ${line}: tags (!) mean nothing here; put a text that begins with ! in quotes`);
    this.#note(node, line);
    if (isSeq<Node>(node))
      return { line, isPlain: false, value: node.items.map((item) => this.read(item, depth + 1, line)) };
    if (isMap<Node, Node>(node))
      return { line, isPlain: false, value: this.#entries(node.items, depth, line) };
    return isScalar(node) ? this.#scalar(node, line) : { line, isPlain: false, value: null };
  }

  #scalar(node: Scalar, line: number): FileValue {
    const text = String(node.value);
    if (text === '' && node.type === 'PLAIN') this.#assertNoComment(node.range?.[0] ?? 0, line);
    const isPlain = node.type === 'PLAIN' && node.tag !== 'tag:yaml.org,2002:str';
    const isNull = isPlain && /^(?:|~|null|Null|NULL)$/.test(text);
    return { line, isPlain, value: isNull ? null : text };
  }

  /** A text that begins with # would silently be a comment. */
  #assertNoComment(offset: number, line: number): void {
    if (/^[ \t]*#[^\s#]/.test(this.#text.slice(offset, offset + 1024)))
      throw new Fault(
        `line ${line}: what begins with # is a comment, so the value is empty; put it in quotes, or a space after the #`,
      );
  }

  #note(node: Node | null | undefined, line: number): void {
    if (isAlias(node) || node?.anchor === undefined) return;
    const earlier = this.#anchored.get(node.anchor);
    if (earlier === node) return;
    if (earlier !== undefined)
      throw new Fault(`line ${line}: two values have this anchor (&); give one another name`);
    this.#anchored.set(node.anchor, node);
    if (isScalar(node)) this.#unused.set(node, line);
  }

  #resolve(name: string, line: number): Node {
    const node = this.#anchored.get(name);
    if (node === undefined)
      throw new Fault(`line ${line}: there is no such alias; a text that begins with * must be in quotes`);
    this.#unused.delete(node);
    return node;
  }

  /** A text that begins with & would silently be empty. */
  assertAnchorsUsed(): void {
    for (const line of this.#unused.values())
      throw new Fault(
        `line ${line}: no alias refers to this anchor (&); put a text that begins with & in quotes`,
      );
  }

  #entries(
    items: readonly { key: Node; value: Node | null }[],
    depth: number,
    line: number,
  ): ReadonlyMap<string, FileValue> {
    const entries = new Map<string, FileValue>();
    const merged: FileValue[] = [];
    for (const item of items) {
      const key = this.read(item.key, depth + 1, line);
      if (typeof key.value !== 'string') throw new Fault(`line ${key.line}: a key must be a text`);
      const value = this.read(item.value, depth + 1, key.line);
      if (key.value === '<<' && key.isPlain) merged.push(...itemsOf(value));
      else if (entries.has(key.value)) throw new Fault(`line ${key.line}: ${key.value} is there twice`);
      else entries.set(key.value, { ...value, line: key.line });
    }
    for (const { value } of merged)
      if (value instanceof Map)
        for (const [key, inner] of value as ReadonlyMap<string, FileValue>)
          if (!entries.has(key)) entries.set(key, inner);
    return entries;
  }
}

function itemsOf(one: FileValue): readonly FileValue[] {
  return Array.isArray(one.value) ? (one.value as readonly FileValue[]) : [one];
}
