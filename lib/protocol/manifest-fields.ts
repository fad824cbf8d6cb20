import { digestOrUndefined, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import type { JsonReader } from './json-reader.ts';

/*
 * The fields of manifests, validated as Go's encoding/json reads them, since nearly all clients are written in Go. What it
 * cannot decode into the types of image-spec and of docker's manifest lists is refused; `null` is an empty list, map or text,
 * as in Go.
 *
 * Stricter than Go: a descriptor must have a media type, a digest and a size; a size must be a safe integer in JavaScript;
 * `data` must be a text, not a list of numbers; keys must have one spelling and must not repeat.
 */

/**
 * References of one manifest, each of which costs bucket requests to check. Docker allows 127 layers; the largest known
 * indexes have some hundred entries.
 */
const maxReferences = 2000;

/** Annotations of a manifest in lists of referrers. Only crafted manifests have so many. */
export const maxListedAnnotations = 10_000;

/** A reference to a blob or manifest (OCI Image Spec, "OCI Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Where clients may download it. Never fetched by the registry. */
  readonly urls: readonly string[];
  readonly platform: Platform | undefined;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

export type Annotations = Readonly<Record<string, string>>;

/** Consumes a value. @param where its path, for messages @throws RegistryError MANIFEST_INVALID */
type Field<T> = (json: JsonReader, where: string) => T;

const text: Field<string> = (json, where) => (isNull(json) ? '' : expectText(json, where));

const texts: Field<string[]> = (json, where) => {
  const list: string[] = [];
  readList(json, where, (item) => void list.push(text(json, item)));
  return list;
};

/** A map of texts. Null values are ignored; those beyond the limit are only validated. */
const annotations: Field<Annotations> = (json, where) => {
  const found = new Map<string, string>();
  readMap(json, where, (key) => {
    if (isNull(json)) return;
    if (found.size < maxListedAnnotations) found.set(key, expectText(json, where));
    else skipText(json, where);
  });
  return Object.fromEntries(found);
};

/** The same, only validated. */
const checkedAnnotations: Field<void> = (json, where) => {
  readMap(json, where, () => {
    if (!isNull(json)) skipText(json, where);
  });
};

/** Bytes in Base64, which may contain line ends. */
const base64: Field<void> = (json, where) => {
  const data = text(json, where).replaceAll(/[\r\n]/g, '');
  if (data.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(data))
    throw invalid(`${where} must be Base64 with its padding`);
};

/** A number as written; '' for any other value. */
const number: Field<string> = (json) => json.ifKind('number', () => json.number()) ?? '';

const platform: Field<Platform> = (json, where) => {
  const { os = '', architecture = '' } = platformFields(json, where);
  return { os, architecture };
};

const platformFields = struct('must be a platform', {
  architecture: text,
  os: text,
  'os.version': text,
  'os.features': texts,
  variant: text,
  features: texts,
});

const descriptorFields = struct('must be a descriptor', {
  mediaType: text,
  digest: text,
  size: number,
  urls: texts,
  annotations: checkedAnnotations,
  data: base64,
  platform: optional(platform),
  artifactType: text,
});

const descriptor: Field<Descriptor> = (json, where) => {
  const { mediaType = '', digest, size = '', urls = [], platform } = descriptorFields(json, where);
  if (mediaType === '') throw invalid(`${where}.mediaType must be a text`);
  const bytes = Number(size);
  // Go cannot decode `5.0` or `5e0` into an integer.
  if (!/^-?\d+$/.test(size) || !Number.isSafeInteger(bytes) || bytes < 0)
    throw invalid(`${where}.size must be a number of bytes`);
  const named = digestOrUndefined(digest);
  if (named === undefined) throw invalid(`${where}.digest is not a digest`);
  return { mediaType, digest: named, size: bytes, urls, platform };
};

const descriptors: Field<Descriptor[]> = (json, where) => {
  const list: Descriptor[] = [];
  readList(json, where, (item) => {
    if (list.length === maxReferences) throw invalid(`${where} may have ${maxReferences} entries at most`);
    list.push(descriptor(json, item));
  });
  return list;
};

/** The fields of an image or an index. Missing ones are missing here; null ones are present. */
export const manifestFields = struct('the manifest is not a JSON object', {
  schemaVersion: number,
  mediaType: text,
  artifactType: text,
  config: descriptor,
  layers: descriptors,
  manifests: descriptors,
  subject: optional(descriptor),
  annotations,
  fsLayers: (json) => {
    json.skip();
  },
});

export type ManifestFields = ReturnType<typeof manifestFields>;

/** An object with these fields; others are skipped. @param fault message for other values, after their path */
function struct<F extends Readonly<Record<string, Field<unknown>>>>(
  fault: string,
  fields: F,
): Field<{ readonly [K in keyof F]?: ReturnType<F[K]> }> {
  const known = new Map<string, Field<unknown>>(Object.entries(fields));
  const folded = new Set(Object.keys(fields).map(fold));
  return (json, where) => {
    if (json.kind() !== 'object') throw invalid(`${where} ${fault}`.trim());
    const found = new Map<string, unknown>();
    json.object((key) => {
      const field = known.get(key);
      if (field !== undefined) found.set(key, field(json, where === '' ? key : `${where}.${key}`));
      else if (folded.has(fold(key))) throw invalid(`${quote(key)} differs from a known field only by case`);
      else json.skip();
    });
    return Object.fromEntries(found) as { [K in keyof F]?: ReturnType<F[K]> };
  };
}

/** A field where null means missing. */
function optional<T>(field: Field<T>): Field<T | undefined> {
  return (json, where) => (isNull(json) ? undefined : field(json, where));
}

/** @param item consumes an entry; receives its path */
function readList(json: JsonReader, where: string, item: (where: string) => void): void {
  if (isNull(json)) return;
  if (json.kind() !== 'list') throw invalid(`${where} must be a list`);
  json.list((index) => {
    item(`${where}[${index}]`);
  });
}

function readMap(json: JsonReader, where: string, member: (key: string) => void): void {
  if (isNull(json)) return;
  if (json.kind() !== 'object') throw invalid(`${where} must be an object of texts`);
  json.object(member);
}

function expectText(json: JsonReader, where: string): string {
  if (json.kind() !== 'text') throw invalid(`${where} must be a text`);
  return json.text();
}

function skipText(json: JsonReader, where: string): void {
  if (json.kind() !== 'text') throw invalid(`${where} must be a text`);
  json.skip();
}

/** Consumes a null; leaves any other value. */
function isNull(json: JsonReader): boolean {
  if (json.kind() !== 'null') return false;
  json.skip();
  return true;
}

/**
 * The common form of keys that differ only by case, which Go takes for the same field ("encoding/json", Unmarshal). It folds
 * case as Unicode does: `ſ` is an `s`. No field name is longer than 20 characters.
 */
export function fold(key: string): string {
  return key.length > 20 ? '' : key.toUpperCase().toLowerCase();
}

/** Quotes client data in a message. */
export function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

export function invalid(message: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', message, [], { cause });
}
