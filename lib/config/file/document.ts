import { open } from 'node:fs/promises';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Alias,
  type Document,
  type Node,
} from 'yaml';
import { ConfigError } from '../settings.ts';

/** A value of the file, and the line where it begins, from 1. Texts are as written: `0.1`, `true`, `10s`. */
export interface FileValue {
  readonly line: number;
  readonly value: string | null | readonly FileValue[] | ReadonlyMap<string, FileValue>;
  /** Whether a text is without quotes, so that it may be a number or `true`. */
  readonly isPlain: boolean;
}

/** The reference configuration of distribution has 7 KiB. */
const maxBytes = 256 * 1024;

/** Values after aliases are followed. */
const maxValues = 10_000;

const maxDepth = 32;

/** Reads the file. @throws ConfigError if it cannot be read or is not YAML */
export async function readDocument(path: string): Promise<FileValue> {
  const text = await readText(path);
  const lines = new LineCounter();
  // All scalars are texts, and the library would compare all keys in pairs.
  const document = parseDocument(text, {
    schema: 'failsafe',
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
  });
  // Messages may end with a piece of the text, which may be secret.
  const faults = document.errors.map(
    ({ message, pos }) =>
      `line ${lines.linePos(pos[0]).line}: this is not YAML: ${message.replace(/: ["*].*$/s, '')}`,
  );
  if (faults.length > 0) throw new ConfigError([...new Set(faults)].slice(0, 10), `in ${path}`);
  try {
    return new Walk(document, lines).read(document.contents, 0, 1);
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

/** Follows aliases and merge keys, and stops at {@link maxValues}. */
class Walk {
  readonly #document: Document;
  readonly #lines: LineCounter;
  #values = 0;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  read(node: Node | null | undefined, depth: number, parentLine: number): FileValue {
    const line = node?.range ? Math.max(1, this.#lines.linePos(node.range[0]).line) : parentLine;
    if (++this.#values > maxValues || depth > maxDepth)
      throw new Fault(`line ${line}: the file has more than ${maxValues} values, or ${maxDepth} levels`);
    if (isAlias(node)) return { ...this.read(this.#resolve(node, line), depth + 1, line), line };
    if (isSeq<Node>(node))
      return { line, isPlain: false, value: node.items.map((item) => this.read(item, depth + 1, line)) };
    if (isMap<Node, Node>(node))
      return { line, isPlain: false, value: this.#entries(node.items, depth, line) };
    const isPlain = isScalar(node) && node.type === 'PLAIN';
    const text = isScalar(node) ? String(node.value) : '';
    const isNull = !isScalar(node) || (isPlain && /^(?:|~|null|Null|NULL)$/.test(text));
    return { line, isPlain, value: isNull ? null : text };
  }

  #resolve(alias: Alias, line: number): Node {
    const node = alias.resolve(this.#document);
    if (node === undefined)
      throw new Fault(`line ${line}: there is no such alias; a text that begins with * must be in quotes`);
    return node;
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
