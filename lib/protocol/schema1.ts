import { JsonError, JsonReader, type JsonLimits } from './json-reader.ts';

/** Docker schema 1 with embedded signatures (distribution, "Image Manifest Version 2, Schema 1"). */
export const signedManifestType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/**
 * Bytes of the indented signatures. Every line is indented, so a few crafted megabytes of indentation would become
 * gigabytes.
 */
const maxSize = 16 * 1024 * 1024;

/** What Go reads. */
const limits: JsonLimits = { depth: 10_000, values: Infinity, repeatedKeys: true };

/**
 * Rebuilds a signed schema 1 manifest, byte for byte as the original registry served it. Until 2.4, distribution stored the
 * payload, which its digest names, apart from the signatures and joined them with libtrust's NewJSONSignature and
 * PrettySignature (registry/storage/signedmanifesthandler.go in 2.3; jsonsign.go in libtrust). As there, clients verify the
 * signatures.
 * @param payload as stored
 * @param signatures as stored, a blob each, in any order
 * @returns undefined if there are none, or if the original did not store these bytes
 */
export function withSignatures(payload: Uint8Array, signatures: readonly Uint8Array[]): Buffer | undefined {
  const body = bodyOf(payload);
  const known = signatures.map(readSignature);
  if (body === undefined || known.length === 0 || !known.every((one) => one !== undefined)) return undefined;
  // Libtrust compares keys and crashes if one is missing. A single signature is not compared.
  if (known.length > 1 && known.some(({ key }) => key === undefined)) return undefined;
  known.sort((a, b) => compare(a.key ?? '', b.key ?? '') || compare(a.signature, b.signature));
  const indent = indentOf(payload);
  const list = layOut(`[${known.map(({ json }) => json).join()}]`, indent);
  if (list === undefined) return undefined;
  const tail = indent === '' ? `,"signatures":${list}}` : `,\n${indent}"signatures": ${list}\n}`;
  return Buffer.from(body + tail, 'latin1');
}

/** The payload without its closing brace and the white space around it. */
function bodyOf(payload: Uint8Array): string | undefined {
  // Libtrust turns an empty object into `{,`, which distribution could not read.
  const keys = read(payload, (json) => readObject(json, {}));
  if (keys === undefined || keys.length === 0) return undefined;
  return characters(payload).trimEnd().slice(0, -1).trimEnd();
}

/** The indentation of the first key if it is on a line of its own; else ''. */
function indentOf(payload: Uint8Array): string {
  return /^\{\n([^"]*)"/.exec(characters(payload))?.[1] ?? '';
}

interface Signature {
  /** The `kid`, by which libtrust sorts first. It is always that of the key, so it is not computed here. */
  readonly key: string | undefined;
  readonly signature: string;
  /** As stored by Go's encoder: other encoders and versions of Go escape other characters, such as `<`, `>` and `&`. */
  readonly json: string;
}

/** Accepts only the fields that libtrust writes, in its order: it would drop others and reorder these. */
function readSignature(blob: Uint8Array): Signature | undefined {
  const found: { header?: Header | undefined; signature?: string | undefined; signed?: string | undefined } =
    {};
  const keys = read(blob, (json) =>
    readObject(json, {
      header: (value) => (found.header = readHeader(value)),
      signature: (value) => (found.signature = value.textIfAny()),
      protected: (value) => (found.signed = value.textIfAny()),
    }),
  );
  const { header, signature, signed } = found;
  if (keys?.join() !== 'header,signature,protected') return undefined;
  if (header === undefined || signature === undefined || signed === undefined) return undefined;
  return { key: header.key, signature, json: characters(blob) };
}

interface Header {
  readonly key: string | undefined;
}

/** @returns undefined if libtrust would not write it so */
function readHeader(json: JsonReader): Header | undefined {
  const found: { key?: string | undefined; algorithm?: string | undefined; hasChain?: boolean } = {};
  const keys = readObject(json, {
    jwk: (value) => void readObject(value, { kid: (id) => (found.key = id.textIfAny()) }),
    alg: (value) => (found.algorithm = value.textIfAny()),
    x5c: (value) => (found.hasChain = readChain(value)),
  });
  const { key, algorithm, hasChain = false } = found;
  // Each of jwk and x5c is valid or missing.
  const expected = [...(key === undefined ? [] : ['jwk']), 'alg', ...(hasChain ? ['x5c'] : [])].join();
  if (algorithm === undefined || (key === undefined && !hasChain) || keys?.join() !== expected)
    return undefined;
  return { key };
}

/** @returns whether it is a list of texts that is not empty */
function readChain(json: JsonReader): boolean {
  let [length, isChain] = [0, true];
  json.ifKind('list', () => {
    json.list(() => {
      length++;
      isChain &&= json.kind() === 'text';
      json.skip();
    });
  });
  return isChain && length > 0;
}

/** @returns its first keys, or undefined if it is not an object */
function readObject(
  json: JsonReader,
  fields: Readonly<Record<string, (json: JsonReader) => void>>,
): string[] | undefined {
  return json.ifKind('object', () => {
    const keys: string[] = [];
    json.object((key) => {
      if (keys.length < 10) keys.push(key);
      if (Object.hasOwn(fields, key)) fields[key]?.(json);
      else json.skip();
    });
    return keys;
  });
}

/** @returns undefined if it is not JSON. As Go, accepts texts that are not UTF-8. */
function read<T>(bytes: Uint8Array, document: (json: JsonReader) => T): T | undefined {
  try {
    const json = new JsonReader(bytes, limits);
    const found = document(json);
    json.end();
    return found;
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

/** JSON tokens, without white space. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * Indents as Go's json.MarshalIndent, with `indent` as both prefix and indentation; without it, writes one line.
 * @returns undefined if the result is too large
 */
function layOut(json: string, indent: string): string | undefined {
  let text = '';
  let depth = 1;
  let previous = '';
  for (const [token] of json.matchAll(tokens)) {
    const closes = token === '}' || token === ']';
    if (closes) depth--;
    // An empty object or list stays on one line.
    if (indent !== '' && (previous === ',' || opens(previous) !== closes)) {
      if (text.length + indent.length * depth > maxSize) return undefined;
      text += `\n${indent.repeat(depth)}`;
    }
    if (opens(token)) depth++;
    text += token === ':' && indent !== '' ? ': ' : token;
    previous = token;
  }
  return text;
}

function opens(token: string): boolean {
  return token === '{' || token === '[';
}

/** One character per byte: the syntax of JSON is ASCII, and the bytes of texts must come out unchanged. */
function characters(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
