import { digestOrUndefined, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import type { JsonReader } from './json-reader.ts';

/*
 * The fields of manifests as clients read them, nearly all of which are written in Go: a table of fields and types, with
 * encoding/json for the yardstick. What it cannot read into the types of image-spec and of docker's lists of manifests is
 * refused; what it reads as nothing is nothing, so that `null` stands for an empty list, map or text.
 *
 * Stricter than Go, for a reason: a descriptor has a media type, a digest and a size; a size is one that JavaScript tells
 * from the next; `data` is a text and no list of numbers; a key has one spelling, and is there once.
 */

/**
 * Blobs and manifests one manifest may reference, each of which costs bucket requests to check. Docker stops at 127
 * layers; the largest indexes seen in the wild have some hundred entries.
 */
const maxReferences = 2000;

/** Annotations of a manifest that lists of referrers show. No manifest has so many, but for those that are made to cost. */
export const maxListedAnnotations = 10_000;

/** What a manifest says of a blob or another manifest (OCI Image Spec, "OCI Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Where else it may be downloaded from. Never fetched by the registry. */
  readonly urls: readonly string[];
  readonly platform: Platform | undefined;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

/** Texts by their names. */
export type Annotations = Readonly<Record<string, string>>;

/** Takes a value. @param where it stands, for messages @throws RegistryError MANIFEST_INVALID */
type Field<T> = (json: JsonReader, where: string) => T;

const text: Field<string> = (json, where) => (isNull(json) ? '' : expectText(json, where));

/** Of texts, of which none is kept. */
const texts: Field<void> = (json, where) => {
  readList(json, where, (item) => void text(json, item));
};

const textList: Field<string[]> = (json, where) => {
  const list: string[] = [];
  readList(json, where, (item) => void list.push(text(json, item)));
  return list;
};

/** A map of texts. What is null says nothing, and of too many some are only looked at. */
const annotations: Field<Annotations> = (json, where) => {
  const found = new Map<string, string>();
  readMap(json, where, (key) => {
    if (isNull(json)) return;
    if (found.size < maxListedAnnotations) found.set(key, expectText(json, where));
    else skipText(json, where);
  });
  return Object.fromEntries(found);
};

/** The same where none is kept. */
const checkedAnnotations: Field<void> = (json, where) => {
  readMap(json, where, () => {
    if (!isNull(json)) skipText(json, where);
  });
};

/** Bytes in Base64, which may have line ends in it. */
const base64: Field<void> = (json, where) => {
  const data = text(json, where).replaceAll(/[\r\n]/g, '');
  if (data.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(data))
    throw invalid(`${where} must be Base64 with its padding`);
};

/** As it is written; no number where it is none. */
const number: Field<string> = (json) => {
  if (json.kind() === 'number') return json.number();
  json.skip();
  return '';
};

const anything: Field<void> = (json) => {
  json.skip();
};

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
  urls: textList,
  annotations: checkedAnnotations,
  data: base64,
  platform: optional(platform),
  artifactType: text,
});

const descriptor: Field<Descriptor> = (json, where) => {
  const { mediaType = '', digest, size = '', urls = [], platform } = descriptorFields(json, where);
  if (mediaType === '') throw invalid(`${where}.mediaType must be a text`);
  const bytes = Number(size);
  // Clients in Go cannot read `5.0` or `5e0` into a whole number.
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

/** The fields of an image or an index. One that is `undefined` is not there; what is null there is. */
export const manifestFields = struct('the manifest is not a JSON object', {
  schemaVersion: number,
  mediaType: text,
  artifactType: text,
  config: descriptor,
  layers: descriptors,
  manifests: descriptors,
  subject: optional(descriptor),
  annotations,
  fsLayers: anything,
});

export type ManifestFields = ReturnType<typeof manifestFields>;

/** Of an object: the fields that are there. Others are passed over. @param fault of anything else, after where it stands */
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

/** Where null is as if it were not there. */
function optional<T>(field: Field<T>): Field<T | undefined> {
  return (json, where) => (isNull(json) ? undefined : field(json, where));
}

/** @param item takes an entry, of which it is told where it stands */
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

/** Takes a null, if it is one. */
function isNull(json: JsonReader): boolean {
  if (json.kind() !== 'null') return false;
  json.skip();
  return true;
}

/**
 * Of keys that differ only by case one: Go takes them for the same field ("encoding/json", Unmarshal), and folds case as
 * Unicode does, so that `ſ` is an `s`. No field has a name of more than 20 characters.
 */
function fold(key: string): string {
  return key.length > 20 ? '' : key.toUpperCase().toLowerCase();
}

/** For a message. */
export function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

export function invalid(message: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', message, [], { cause });
}
