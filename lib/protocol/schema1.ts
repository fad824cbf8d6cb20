import { JsonError, JsonReader, type JsonLimits } from './json-reader.ts';

/** Docker schema 1 with its signatures in it (distribution, "Image Manifest Version 2, Schema 1"). */
export const signedManifestType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/**
 * Bytes that the signatures may take when indented. Indentation stands on every line, so that a few megabytes of it, made
 * for this, would become gigabytes.
 */
const maxSize = 16 * 1024 * 1024;

/** What Go reads. */
const limits: JsonLimits = { depth: 10_000, values: Infinity, repeatedKeys: true };

/**
 * Puts a signed schema 1 manifest together again, byte for byte as the original registry served it. Distribution stored
 * the payload, which is what the digest names, apart from its signatures, until 2.4, and joined them by libtrust's
 * NewJSONSignature and PrettySignature (registry/storage/signedmanifesthandler.go in 2.3; jsonsign.go in libtrust).
 * Whether a signature is valid is left to the client, as it was there.
 * @param payload as stored; its bytes are kept
 * @param signatures as stored, a blob each, in any order
 * @returns undefined when there are none, or when this is not what the original stored
 */
export function withSignatures(payload: Uint8Array, signatures: readonly Uint8Array[]): Buffer | undefined {
  const body = bodyOf(payload);
  const known = signatures.map(readSignature);
  if (body === undefined || known.length === 0 || !known.every((one) => one !== undefined)) return undefined;
  // Libtrust compares keys, and crashes for want of one. A single signature is compared to none.
  if (known.length > 1 && known.some(({ key }) => key === undefined)) return undefined;
  known.sort((a, b) => compare(a.key ?? '', b.key ?? '') || compare(a.signature, b.signature));
  const indent = indentOf(payload);
  const list = layOut(`[${known.map(({ json }) => json).join()}]`, indent);
  if (list === undefined) return undefined;
  const tail = indent === '' ? `,"signatures":${list}}` : `,\n${indent}"signatures": ${list}\n}`;
  return Buffer.from(body + tail, 'latin1');
}

/** All of it before the last brace and the white space around that. */
function bodyOf(payload: Uint8Array): string | undefined {
  // Libtrust makes `{,` of an empty one, which distribution could not read.
  const keys = read(payload, (json) => readObject(json, {}));
  if (keys === undefined || keys.length === 0) return undefined;
  return characters(payload).trimEnd().slice(0, -1).trimEnd();
}

/** What stands before the first key if a line ends right after the first brace; else nothing. */
function indentOf(payload: Uint8Array): string {
  return /^\{\n([^"]*)"/.exec(characters(payload))?.[1] ?? '';
}

interface Signature {
  /** What libtrust sorts by first: the `kid`, always that of the key, which is the reason it is not computed here. */
  readonly key: string | undefined;
  readonly signature: string;
  /**
   * As stored, since that is what Go's encoder once made of it, and would again. Another one escapes other characters (Go's
   * does `<`, `>` and `&`), and so did other versions of Go.
   */
  readonly json: string;
}

/** Takes those fields only that libtrust writes, in its order: it would drop others and put these in order. */
function readSignature(blob: Uint8Array): Signature | undefined {
  const found: { header?: Header | undefined; signature?: string | undefined; signed?: string | undefined } =
    {};
  const keys = read(blob, (json) =>
    readObject(json, {
      header: (value) => (found.header = readHeader(value)),
      signature: (value) => (found.signature = readText(value)),
      protected: (value) => (found.signed = readText(value)),
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

/** @returns undefined where it is not as libtrust writes it */
function readHeader(json: JsonReader): Header | undefined {
  const found: { key?: string | undefined; algorithm?: string | undefined; hasChain?: boolean } = {};
  const keys = readObject(json, {
    jwk: (value) => void readObject(value, { kid: (id) => (found.key = readText(id)) }),
    alg: (value) => (found.algorithm = readText(value)),
    x5c: (value) => (found.hasChain = readChain(value)),
  });
  const { key, algorithm, hasChain = false } = found;
  // Each of the two is there and right, or not there at all.
  const expected = [...(key === undefined ? [] : ['jwk']), 'alg', ...(hasChain ? ['x5c'] : [])].join();
  if (algorithm === undefined || (key === undefined && !hasChain) || keys?.join() !== expected)
    return undefined;
  return { key };
}

/** @returns whether it is a list of texts, and not empty */
function readChain(json: JsonReader): boolean {
  if (json.kind() !== 'list') {
    json.skip();
    return false;
  }
  let [length, isChain] = [0, true];
  json.list(() => {
    length++;
    isChain &&= json.kind() === 'text';
    json.skip();
  });
  return isChain && length > 0;
}

/** @returns its first keys, or undefined where it is no object */
function readObject(
  json: JsonReader,
  fields: Readonly<Record<string, (json: JsonReader) => void>>,
): string[] | undefined {
  if (json.kind() !== 'object') {
    json.skip();
    return undefined;
  }
  const keys: string[] = [];
  json.object((key) => {
    if (keys.length < 10) keys.push(key);
    if (Object.hasOwn(fields, key)) fields[key]?.(json);
    else json.skip();
  });
  return keys;
}

function readText(json: JsonReader): string | undefined {
  if (json.kind() === 'text') return json.text();
  json.skip();
  return undefined;
}

/** @returns undefined where it is not JSON. Go takes texts that are not UTF-8, and so does this. */
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

/** Of JSON, without the white space between them. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * Indents as Go's json.MarshalIndent, each line also by what the list itself is indented by; or not at all.
 * @returns undefined when it grows too large
 */
function layOut(json: string, indent: string): string | undefined {
  let text = '';
  let depth = 1;
  let previous = '';
  for (const [token] of json.matchAll(tokens)) {
    const closes = token === '}' || token === ']';
    if (closes) depth--;
    // An empty object or list stays on its line.
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

/** One for each byte. What JSON is made of is ASCII, and whatever its texts hold must come out as it went in. */
function characters(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
