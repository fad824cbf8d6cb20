import { digestOrUndefined, parseDigest, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { misspeltKey, nestsDeeper, repeatedKey } from './json-keys.ts';

/** Bytes of the largest manifest taken (OCI Distribution Spec, "Pushing Manifests": support at least 4 megabytes). */
export const maxManifestSize = 4 * 1024 * 1024;

/**
 * Blobs and manifests one manifest may reference, each of which costs bucket requests to check. Docker stops at 127
 * layers; the largest indexes seen in the wild have some hundred entries.
 */
const maxReferences = 2000;

/** Objects and lists within each other. What manifests need is less than 10; parsers spend time and stack on more. */
const maxDepth = 100;

/** What distribution 2.3 stored of a schema 1 manifest: the payload, without its signatures. */
export const unsignedManifestType = 'application/vnd.docker.distribution.manifest.v1+json';

type Kind = 'image' | 'index';

/** The manifests taken, and which of the two shapes each has. */
const kinds: ReadonlyMap<string, Kind> = new Map([
  ['application/vnd.docker.distribution.manifest.v2+json', 'image'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
  ['application/vnd.oci.image.manifest.v1+json', 'image'],
  ['application/vnd.oci.image.index.v1+json', 'index'],
]);

/** What a manifest says of a blob or another manifest (OCI Image Spec, "OCI Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Where else it may be downloaded from. Never fetched by the registry. */
  readonly urls: readonly string[];
  readonly platform: Child['platform'];
}

/** What an index says of one of its manifests. */
export interface Child {
  readonly digest: Digest;
  readonly platform: { readonly os: unknown; readonly architecture: unknown } | undefined;
}

/** A manifest as it was checked; its bytes are kept beside it, since those are what its digest names. */
export interface Manifest {
  readonly mediaType: string;
  /** Blobs that must be in the repository: the config, and layers that cannot be had elsewhere. */
  readonly blobs: readonly Digest[];
  /** An index's children, which must be in the repository unless a setting says otherwise. */
  readonly manifests: readonly Child[];
  /** What this manifest is about. It need not exist (OCI Distribution Spec, "Pushing Manifests with Subject"). */
  readonly subject: Digest | undefined;
}

/**
 * Reads a manifest: Docker schema 2 image or list, OCI image or index.
 * @param contentType as sent with it, if any; parameters are ignored
 * @throws RegistryError MANIFEST_INVALID saying what is wrong, MANIFEST_TOO_LARGE
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (bytes.byteLength > maxManifestSize) throw tooLarge();
  const json = decode(bytes);
  if (nestsDeeper(json, maxDepth)) throw invalid(`a manifest may be nested ${maxDepth} deep at most`);
  const document = parseObject(json, withWholeNumbers);
  assertUnambiguous(json);
  const mediaType = mediaTypeOf(document);
  const sent = contentType?.split(';', 1)[0]?.trim().toLowerCase();
  if (sent !== undefined && sent !== '' && sent !== mediaType)
    throw invalid(`Content-Type is ${quote(sent)} but the manifest is ${quote(mediaType)}`);
  return kinds.get(mediaType) === 'index' ? readIndex(document, mediaType) : readImage(document, mediaType);
}

/** The error for a manifest over {@link maxManifestSize}, for who finds out before the bytes are all there. */
export function tooLarge(): RegistryError {
  return new RegistryError('MANIFEST_TOO_LARGE', `a manifest may have ${maxManifestSize} bytes at most`);
}

/**
 * The media type of a stored manifest, which only its bytes tell: distribution keeps it nowhere else. Whatever lies in
 * the bucket is served as what it calls itself, also types not taken any more. The original registry stored schema 1
 * payloads without their signatures, which is the form `v1+json` names.
 * @throws RegistryError UNKNOWN when it is damaged
 */
export function storedMediaType(bytes: Uint8Array): string {
  const { mediaType, manifests, schemaVersion } = parseStored(bytes);
  if (schemaVersion === 1 && mediaType === undefined) return unsignedManifestType;
  if (mediaType === undefined) return ociMediaType(manifests !== undefined);
  // It becomes a header.
  if (typeof mediaType !== 'string' || !/^[\w.+-]+\/[\w.+-]+$/.test(mediaType)) throw damaged();
  return mediaType;
}

/**
 * Of a stored index, the image that clients without any notion of platforms get: the one for linux/amd64.
 * @returns undefined where it is no index, or has none
 */
export function defaultChild(bytes: Uint8Array): Digest | undefined {
  const { manifests } = parseStored(bytes);
  if (!Array.isArray(manifests)) return undefined;
  const child: unknown = manifests.find((entry: unknown) => {
    const platform = isObject(entry) ? platformOf(entry['platform']) : undefined;
    return platform?.os === 'linux' && platform.architecture === 'amd64';
  });
  return isObject(child) ? digestOrUndefined(child['digest']) : undefined;
}

/** The error for a manifest in the bucket that is not what was pushed. */
export function damaged(cause?: unknown): RegistryError {
  return new RegistryError('UNKNOWN', 'the stored manifest is damaged; push it again', [], { cause });
}

/** The fields of a manifest that lies in the bucket. @throws RegistryError UNKNOWN when it is damaged */
export function parseStored(bytes: Uint8Array): JsonObject {
  try {
    return parseObject(decode(bytes));
  } catch (cause) {
    throw damaged(cause);
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw notJson(cause);
  }
}

/** @param revive as JSON.parse takes it */
function parseObject(json: string, revive?: Reviver): JsonObject {
  let document: unknown;
  try {
    document = JSON.parse(json, revive);
  } catch (cause) {
    throw notJson(cause);
  }
  if (!isObject(document)) throw invalid('the manifest is not a JSON object');
  return document;
}

type Reviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown;

/** Clients in Go cannot read `5.0` or `2e0` into a whole number, so here it is none. */
const withWholeNumbers: Reviver = (key, value, context) =>
  typeof value === 'number' && wholeNumbers.has(key) && !/^-?\d+$/.test(context?.source ?? '')
    ? Number.NaN
    : value;

const wholeNumbers: ReadonlySet<string> = new Set(['schemaVersion', 'size']);

function notJson(cause: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', 'the manifest is not JSON in UTF-8', [], { cause });
}

/** Every client must read the same in it (CVE-2021-41190's kind). */
function assertUnambiguous(json: string): void {
  const repeated = repeatedKey(json);
  if (repeated !== undefined) throw invalid(`the manifest has ${quote(repeated)} twice in one object`);
}

/**
 * Its `mediaType` field, or for OCI, where that is optional, what its other fields make it. Bytes that could be read as
 * both an image and an index are refused whatever they call themselves (CVE-2021-41190).
 */
function mediaTypeOf(document: JsonObject): string {
  assertPlainKeys(document, manifestKeys);
  const { mediaType, manifests, config, layers, schemaVersion, fsLayers } = document;
  if (fsLayers !== undefined || schemaVersion === 1)
    throw invalid('Docker schema 1 manifests are not taken; push the image with docker 1.10 or newer');
  if (schemaVersion !== 2) throw invalid('schemaVersion must be 2');
  const isIndex = manifests !== undefined;
  if (isIndex && (config !== undefined || layers !== undefined))
    throw invalid('a manifest has either manifests or config and layers, not both');
  if (mediaType === undefined) return ociMediaType(isIndex);
  const kind = typeof mediaType === 'string' ? kinds.get(mediaType) : undefined;
  if (typeof mediaType !== 'string' || kind === undefined)
    throw invalid(`media type ${quote(mediaType)} is not taken; use one of ${[...kinds.keys()].join(', ')}`);
  if ((kind === 'index') !== isIndex)
    throw invalid(
      `a manifest of type ${mediaType} has ${kind === 'index' ? 'manifests' : 'config and layers'}`,
    );
  return mediaType;
}

/** A second `Layers` would be the one that some clients see. */
function assertPlainKeys(object: JsonObject, known: readonly string[]): void {
  const other = misspeltKey(Object.keys(object), known);
  if (other !== undefined) throw invalid(`${quote(other)} differs from a known field only by case`);
}

const manifestKeys = [
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'subject',
  'fsLayers',
  'artifactType',
  'annotations',
];
const descriptorKeys = [
  'mediaType',
  'digest',
  'size',
  'urls',
  'annotations',
  'data',
  'platform',
  'artifactType',
];
const platformKeys = ['architecture', 'os', 'os.version', 'os.features', 'variant', 'features'];

function ociMediaType(isIndex: boolean): string {
  return isIndex ? 'application/vnd.oci.image.index.v1+json' : 'application/vnd.oci.image.manifest.v1+json';
}

function readImage(document: JsonObject, mediaType: string): Manifest {
  const config = readDescriptor(document['config'], 'config');
  const layers = readDescriptors(document['layers'], 'layers');
  const stored = [config, ...layers.filter((layer) => !isElsewhere(layer))];
  return { mediaType, blobs: unique(stored), manifests: [], subject: readSubject(document) };
}

/**
 * Whether a layer need not be here, since its license keeps it where it is: of a type made for that, and with a URL to have
 * it from (OCI Image Spec, "Non-Distributable Layers"; Docker's foreign layers).
 */
function isElsewhere({ mediaType, urls }: Descriptor): boolean {
  return (
    /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/.test(
      mediaType,
    ) && urls.some((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ''))
  );
}

function readIndex(document: JsonObject, mediaType: string): Manifest {
  const manifests = readDescriptors(document['manifests'], 'manifests');
  const children = manifests.map(({ digest, platform }) => ({ digest, platform }));
  return { mediaType, blobs: [], manifests: children, subject: readSubject(document) };
}

function readSubject(document: JsonObject): Digest | undefined {
  const subject = document['subject'];
  return subject === undefined || subject === null ? undefined : readDescriptor(subject, 'subject').digest;
}

function readDescriptors(value: unknown, where: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`${where} must be a list`);
  if (value.length > maxReferences) throw invalid(`${where} may have ${maxReferences} entries at most`);
  return value.map((entry, index) => readDescriptor(entry, `${where}[${index}]`));
}

function readDescriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw invalid(`${where} must be a descriptor`);
  assertPlainKeys(value, descriptorKeys);
  const { mediaType, digest, size, urls = [], platform } = value;
  if (isObject(platform)) assertPlainKeys(platform, platformKeys);
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${where}.mediaType must be a text`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`${where}.size must be a number of bytes`);
  if (urls !== null && !(Array.isArray(urls) && urls.every((url) => typeof url === 'string')))
    throw invalid(`${where}.urls must be a list of texts`);
  return {
    mediaType,
    digest: readDigest(digest, where),
    size,
    urls: urls ?? [],
    platform: platformOf(platform),
  };
}

function platformOf(value: unknown): Child['platform'] {
  return isObject(value) ? { os: value['os'], architecture: value['architecture'] } : undefined;
}

function readDigest(value: unknown, where: string): Digest {
  try {
    return parseDigest(typeof value === 'string' ? value : '');
  } catch (cause) {
    throw new RegistryError('MANIFEST_INVALID', `${where}.digest is not a digest`, [], { cause });
  }
}

function unique(descriptors: readonly Descriptor[]): Digest[] {
  return [...new Set(descriptors.map(({ digest }) => digest))];
}

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** For a message. Only a text is shown: anything else may be nested deeper than the stack. */
function quote(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 200)) : `a ${typeof value}`;
}

function invalid(message: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', message);
}
