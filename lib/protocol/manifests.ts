import { digestOrUndefined, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { JsonError, JsonReader, type JsonLimits } from './json-reader.ts';
import {
  invalid,
  manifestFields,
  quote,
  type Annotations,
  type Descriptor,
  type ManifestFields,
  type Platform,
} from './manifest-fields.ts';
import { signedManifestType } from './schema1.ts';

/** Bytes of the largest manifest taken (OCI Distribution Spec, "Pushing Manifests": support at least 4 megabytes). */
export const maxManifestSize = 4 * 1024 * 1024;

/**
 * What is read of a manifest that is pushed. Manifests need less than 10 objects and lists within each other, and an index
 * of 2000 entries, each with its platform and 20 annotations, has some 70,000 values: parsers spend time, stack and memory
 * on more.
 */
const pushLimits: JsonLimits = { depth: 100, values: 100_000, repeatedKeys: false };

/** Of one that is stored, whoever took it: what Go reads. */
const storedLimits: JsonLimits = { depth: 10_000, values: Infinity, repeatedKeys: true };

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

/** Types that an index may name its manifests by: those that are taken, and those that once were. */
const manifestTypes: ReadonlySet<string> = new Set([
  ...kinds.keys(),
  unsignedManifestType,
  signedManifestType,
]);

/** What an index says of one of its entries. */
export interface Child {
  readonly digest: Digest;
  /** Whether its type is a manifest's. One of another type may be a blob, as in the caches that BuildKit keeps. */
  readonly isManifest: boolean;
  readonly platform: Platform | undefined;
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
  /** What a list of referrers says of one with a subject; undefined for all others. */
  readonly reference: ReferrerFields | undefined;
}

/** What a list of referrers has of a manifest beside its descriptor (OCI Distribution Spec, "Listing Referrers"). */
export interface ReferrerFields {
  /** Of the manifest, or else the media type of an image's config. */
  readonly artifactType?: string;
  readonly annotations?: Annotations;
}

/**
 * Reads a manifest: Docker schema 2 image or list, OCI image or index.
 * @param contentType as sent with it, if any; parameters are ignored
 * @throws RegistryError MANIFEST_INVALID saying what is wrong, MANIFEST_TOO_LARGE
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (bytes.byteLength > maxManifestSize) throw tooLarge();
  const fields = readPushed(bytes);
  const mediaType = mediaTypeOf(fields);
  const sent = contentType?.split(';', 1)[0]?.trim().toLowerCase();
  if (sent !== undefined && sent !== '' && sent !== mediaType)
    throw invalid(`Content-Type is ${quote(sent)} but the manifest is ${quote(mediaType)}`);
  const { subject } = fields;
  return {
    mediaType,
    ...(kinds.get(mediaType) === 'index' ? readIndex(fields) : readImage(fields)),
    subject: subject?.digest,
    reference: subject && referrerFields(fields.artifactType, fields.config?.mediaType, fields.annotations),
  };
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
  const type = new StoredType();
  readStored(bytes, type.fields);
  return type.mediaType;
}

/**
 * Of a stored index, the image that clients without any notion of platforms get: the one for linux/amd64.
 * @returns undefined where it is no index, or has none
 */
export function defaultChild(bytes: Uint8Array): Digest | undefined {
  const children: (Digest | undefined)[] = [];
  let entry: Partial<Record<'digest' | 'os' | 'architecture', string | undefined>> = {};
  const readEntry = objectOf({
    digest: (json) => (entry.digest = textOf(json)),
    platform: objectOf({
      os: (json) => (entry.os = textOf(json)),
      architecture: (json) => (entry.architecture = textOf(json)),
    }),
  });
  const manifests = listOf((json) => {
    entry = {};
    readEntry(json);
    if (children.length === 0 && entry.os === 'linux' && entry.architecture === 'amd64')
      children.push(digestOrUndefined(entry.digest));
  });
  readStored(bytes, { manifests });
  return children[0];
}

/** The error for a manifest in the bucket that is not what was pushed. */
export function damaged(cause?: unknown): RegistryError {
  return new RegistryError('UNKNOWN', 'the stored manifest is damaged; push it again', [], { cause });
}

/** Takes the value of a field. */
export type StoredField = (json: JsonReader) => void;

/** By name. Nothing is asked of the others. */
export type StoredFields = Readonly<Record<string, StoredField>>;

/**
 * Reads fields of a manifest that lies in the bucket, which another registry may have taken. One that it has twice is read
 * twice.
 * @throws RegistryError UNKNOWN when it is damaged
 */
export function readStored(bytes: Uint8Array, fields: StoredFields): void {
  if (!isUtf8(bytes)) throw damaged();
  try {
    const json = new JsonReader(bytes, storedLimits);
    if (json.kind() !== 'object') throw damaged();
    objectOf(fields)(json);
    json.end();
  } catch (error) {
    throw error instanceof JsonError ? damaged(error) : error;
  }
}

/** Reads fields of what is perhaps an object. */
export function objectOf(fields: StoredFields): StoredField {
  const known = new Map(Object.entries(fields));
  return (json) => {
    if (json.kind() !== 'object') json.skip();
    else
      json.object((key) => {
        const field = known.get(key);
        if (field === undefined) json.skip();
        else field(json);
      });
  };
}

/** Reads the entries of what is perhaps a list. */
export function listOf(item: StoredField): StoredField {
  return (json) => {
    if (json.kind() === 'list')
      json.list(() => {
        item(json);
      });
    else json.skip();
  };
}

/** What is perhaps a text. */
export function textOf(json: JsonReader): string | undefined {
  if (json.kind() === 'text') return json.text();
  json.skip();
  return undefined;
}

/** Finds the media type of a stored manifest while that is read. */
export class StoredType {
  #named = '';
  #isNamed = true;
  #isFirstSchema = false;
  #isIndex = false;

  readonly fields: StoredFields = {
    mediaType: (json) => {
      this.#isNamed = json.kind() === 'text' || json.kind() === 'null';
      this.#named = textOf(json) ?? '';
    },
    schemaVersion: (json) => {
      const isNumber = json.kind() === 'number';
      this.#isFirstSchema = isNumber && Number(json.number()) === 1;
      if (!isNumber) json.skip();
    },
    manifests: (json) => {
      this.#isIndex = true;
      json.skip();
    },
  };

  /** @throws RegistryError UNKNOWN when it is damaged */
  get mediaType(): string {
    if (!this.#isNamed) throw damaged();
    if (this.#named === '') return this.#isFirstSchema ? unsignedManifestType : ociMediaType(this.#isIndex);
    // It becomes a header.
    if (!/^[\w.+-]+\/[\w.+-]+$/.test(this.#named)) throw damaged();
    return this.#named;
  }
}

/** @returns without what there is nothing of */
export function referrerFields(
  artifactType: string | undefined,
  configType: string | undefined,
  annotations: Annotations | undefined,
): ReferrerFields {
  const type = artifactType === undefined || artifactType === '' ? configType : artifactType;
  return {
    ...(type === undefined || type === '' ? {} : { artifactType: type }),
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** @throws RegistryError MANIFEST_INVALID */
function readPushed(bytes: Uint8Array): ManifestFields {
  if (!isUtf8(bytes)) throw notJson();
  try {
    const json = new JsonReader(bytes, pushLimits);
    const fields = manifestFields(json, '');
    json.end();
    return fields;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw error.fault === undefined ? notJson(error) : invalid(`the manifest ${error.fault}`);
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function notJson(cause?: unknown): RegistryError {
  return invalid('the manifest is not JSON in UTF-8', cause);
}

/**
 * Its `mediaType` field, or for OCI, where that is optional, what its other fields make it. Bytes that could be read as
 * both an image and an index are refused whatever they call themselves (CVE-2021-41190); to containerd a field that is
 * null is there.
 */
function mediaTypeOf(fields: ManifestFields): string {
  const { mediaType = '', schemaVersion } = fields;
  if ('fsLayers' in fields || schemaVersion === '1')
    throw invalid('Docker schema 1 manifests are not taken; push the image with docker 1.10 or newer');
  if (schemaVersion !== '2') throw invalid('schemaVersion must be 2');
  const isIndex = 'manifests' in fields;
  const isImage = 'config' in fields || 'layers' in fields;
  if (isIndex && isImage) throw invalid('a manifest has either manifests or config and layers, not both');
  if (mediaType === '') return ociMediaType(isIndex);
  const kind = kinds.get(mediaType);
  if (kind === undefined)
    throw invalid(`media type ${quote(mediaType)} is not taken; use one of ${[...kinds.keys()].join(', ')}`);
  if (kind === 'index' ? isImage : isIndex)
    throw invalid(
      `a manifest of type ${mediaType} has ${kind === 'index' ? 'manifests' : 'config and layers'}`,
    );
  return mediaType;
}

function ociMediaType(isIndex: boolean): string {
  return isIndex ? 'application/vnd.oci.image.index.v1+json' : 'application/vnd.oci.image.manifest.v1+json';
}

type Contents = Pick<Manifest, 'blobs' | 'manifests'>;

function readImage({ config, layers = [] }: ManifestFields): Contents {
  if (config === undefined) throw invalid('config must be a descriptor');
  const stored = [config, ...layers.filter((layer) => !isElsewhere(layer))];
  return { blobs: [...new Set(stored.map(({ digest }) => digest))], manifests: [] };
}

function readIndex({ manifests = [] }: ManifestFields): Contents {
  const stored = manifests.filter((entry) => !isElsewhere(entry));
  return {
    blobs: [],
    manifests: stored.map(({ digest, mediaType, platform }) => {
      return { digest, isManifest: manifestTypes.has(mediaType), platform };
    }),
  };
}

/**
 * Whether a layer need not be here, since its license keeps it where it is: of a type made for that, and with a URL to have
 * it from (OCI Image Spec, "Non-Distributable Layers"; Docker's foreign layers). A parser of URLs would take 0.1 s for one of
 * some kilobytes whose host is made for that.
 */
function isElsewhere({ mediaType, urls }: Descriptor): boolean {
  return (
    /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/.test(
      mediaType,
    ) && urls.some((url) => /^https?:\/\/[^\s/?#]/i.test(url))
  );
}
