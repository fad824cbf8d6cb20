/** Docker schema 1 with its signatures in it (distribution, "Image Manifest Version 2, Schema 1"). */
export const signedManifestType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/**
 * Bytes that the signatures may take when indented. Indentation stands on every line, so that a few megabytes of it, made
 * for this, would become gigabytes.
 */
const maxSize = 16 * 1024 * 1024;

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
  const read = signatures.map(readSignature);
  if (body === undefined || read.length === 0 || !read.every((one) => one !== undefined)) return undefined;
  // Libtrust compares keys, and crashes for want of one. A single signature is compared to none.
  if (read.length > 1 && read.some(({ key }) => key === undefined)) return undefined;
  read.sort((a, b) => compare(a.key ?? '', b.key ?? '') || compare(a.signature, b.signature));
  const indent = indentOf(payload);
  const list = layOut(`[${read.map(({ json }) => json).join()}]`, indent);
  if (list === undefined) return undefined;
  const tail = indent === '' ? `,"signatures":${list}}` : `,\n${indent}"signatures": ${list}\n}`;
  return Buffer.from(body + tail, 'latin1');
}

/** All of it before the last brace and the white space around that. */
function bodyOf(payload: Uint8Array): string | undefined {
  const document = parse(payload);
  // Libtrust makes `{,` of an empty one, which distribution could not read.
  if (!isObject(document) || Object.keys(document).length === 0) return undefined;
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
  const document = parse(blob);
  if (!isObject(document) || keysOf(document) !== 'header,signature,protected') return undefined;
  const { header, signature, protected: signed } = document;
  if (!isObject(header) || typeof signature !== 'string' || typeof signed !== 'string') return undefined;
  const { jwk, alg, x5c } = header;
  const key = isObject(jwk) ? jwk['kid'] : undefined;
  const hasKey = typeof key === 'string';
  const hasChain = Array.isArray(x5c) && x5c.length > 0 && x5c.every((entry) => typeof entry === 'string');
  // Each of the two is there and right, or not there at all.
  const expected = [...(hasKey ? ['jwk'] : []), 'alg', ...(hasChain ? ['x5c'] : [])].join();
  if (typeof alg !== 'string' || !(hasKey || hasChain) || keysOf(header) !== expected) return undefined;
  return { key: hasKey ? key : undefined, signature, json: characters(blob) };
}

function keysOf(object: JsonObject): string {
  return Object.keys(object).join();
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

/** Go takes texts that are not UTF-8, and so does this. */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    return undefined;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
