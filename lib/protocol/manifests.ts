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

/** Bytes of the largest manifest accepted (OCI Distribution Spec, "Pushing Manifests": support at least 4 megabytes). */
export const maxManifestSize = 4 * 1024 * 1024;

/**
 * For pushed manifests: they nest fewer than 10 levels, and an index of 2000 entries, each with a platform and 20
 * annotations, has some 70,000 values. More costs parsers time, stack and memory.
 */
const pushLimits: JsonLimits = { depth: 100, values: 100_000, repeatedKeys: false };

/** For stored manifests, which another registry may have accepted: what Go reads. */
const storedLimits: JsonLimits = { depth: 10_000, values: Infinity, repeatedKeys: true };

/** What distribution 2.3 stored of a schema 1 manifest: the payload without its signatures. */
export const unsignedManifestType = 'application/vnd.docker.distribution.manifest.v1+json';

type Kind = 'image' | 'index';

/** The accepted media types. */
const kinds: ReadonlyMap<string, Kind> = new Map([
  ['application/vnd.docker.distribution.manifest.v2+json', 'image'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
  ['application/vnd.oci.image.manifest.v1+json', 'image'],
  ['application/vnd.oci.image.index.v1+json', 'index'],
]);

/** Media types of an index's entries that are manifests: those accepted now or in the past. */
const manifestTypes: ReadonlySet<string> = new Set([
  ...kinds.keys(),
  unsignedManifestType,
  signedManifestType,
]);

/** Whether the media type of an index's entry is a manifest's. Others may be blobs, as in BuildKit's caches. */
export function isManifestType(mediaType: string): boolean {
  return manifestTypes.has(mediaType);
}

/** An entry of an index. */
export interface Child {
  readonly digest: Digest;
  /** Whether its media type is a manifest's. Others may be blobs, as in BuildKit's caches. */
  readonly isManifest: boolean;
  readonly platform: Platform | undefined;
}

/** A validated manifest, without the bytes its digest names. */
export interface Manifest {
  readonly mediaType: string;
  /** Blobs that must be in the repository: the config, and layers that are not available elsewhere. */
  readonly blobs: readonly Digest[];
  /** The entries of an index, which must be in the repository unless a setting says otherwise. */
  readonly manifests: readonly Child[];
  /** It need not exist (OCI Distribution Spec, "Pushing Manifests with Subject"). */
  readonly subject: Digest | undefined;
  /** For the list of referrers; undefined without a subject. */
  readonly reference: ReferrerFields | undefined;
}

/** The fields of a referrer that a list adds to its descriptor (OCI Distribution Spec, "Listing Referrers"). */
export interface ReferrerFields {
  /** Of the manifest, or else the media type of its config. */
  readonly artifactType?: string;
  readonly annotations?: Annotations;
}

/**
 * Validates a manifest: Docker schema 2 image or list, OCI image or index.
 * @param contentType as sent, if any; parameters are ignored
 * @throws RegistryError MANIFEST_INVALID, MANIFEST_TOO_LARGE
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

/** The error for a manifest over {@link maxManifestSize}. */
export function tooLarge(): RegistryError {
  return new RegistryError('MANIFEST_TOO_LARGE', `a manifest may have ${maxManifestSize} bytes at most`);
}

/**
 * The media type of a stored manifest. Only its bytes tell it: distribution stores it nowhere else. A manifest is served as
 * what it declares, including types that are no longer accepted. The original registry stored the payloads of schema 1
 * manifests without their signatures, which is `v1+json`.
 * @throws RegistryError UNKNOWN if it is damaged
 */
export function storedMediaType(bytes: Uint8Array): string {
  const type = new StoredType();
  readStored(bytes, type.fields);
  return type.mediaType;
}

/**
 * The linux/amd64 image of a stored index, for clients that know no platforms.
 * @returns undefined if there is none
 */
export function defaultChild(bytes: Uint8Array): Digest | undefined {
  const children: (Digest | undefined)[] = [];
  let entry: Partial<Record<'digest' | 'os' | 'architecture', string | undefined>> = {};
  const readEntry = objectOf({
    digest: (json) => (entry.digest = json.textIfAny()),
    platform: objectOf({
      os: (json) => (entry.os = json.textIfAny()),
      architecture: (json) => (entry.architecture = json.textIfAny()),
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

/** The error for a stored manifest that is not what was pushed. */
export function damaged(cause?: unknown): RegistryError {
  return new RegistryError('UNKNOWN', 'the stored manifest is damaged; push it again', [], { cause });
}

/** Consumes the value of a field. */
export type StoredField = (json: JsonReader) => void;

/** By name. Other fields are skipped. */
export type StoredFields = Readonly<Record<string, StoredField>>;

/**
 * Reads fields of a stored manifest, which another registry may have accepted. A repeated field is read again.
 * @throws RegistryError UNKNOWN if it is damaged
 */
export function readStored(bytes: Uint8Array, fields: StoredFields): void {
  readStoredObject(bytes, objectOf(fields));
}

/** As {@link readStored}. @param read consumes the whole object */
export function readStoredObject(bytes: Uint8Array, read: StoredField): void {
  if (!isUtf8(bytes)) throw damaged();
  try {
    const json = new JsonReader(bytes, storedLimits);
    if (json.kind() !== 'object') throw damaged();
    read(json);
    json.end();
  } catch (error) {
    throw error instanceof JsonError ? damaged(error) : error;
  }
}

/** Reads fields of an object; skips any other value. */
export function objectOf(fields: StoredFields): StoredField {
  const known = new Map(Object.entries(fields));
  const skip: StoredField = (json) => {
    json.skip();
  };
  return (json) => {
    json.ifKind('object', () => {
      json.object((key) => {
        (known.get(key) ?? skip)(json);
      });
    });
  };
}

/** Reads the entries of a list; skips any other value. */
export function listOf(item: StoredField): StoredField {
  return (json) => {
    json.ifKind('list', () => {
      json.list(() => {
        item(json);
      });
    });
  };
}

/** Determines the media type of a stored manifest as its fields are read. */
export class StoredType {
  #named = '';
  #isNamed = true;
  #isFirstSchema = false;
  #isIndex = false;

  readonly fields: StoredFields = {
    mediaType: (json) => {
      this.#isNamed = json.kind() === 'text' || json.kind() === 'null';
      this.#named = json.textIfAny() ?? '';
    },
    schemaVersion: (json) => {
      this.#isFirstSchema = json.ifKind('number', () => Number(json.number())) === 1;
    },
    manifests: (json) => {
      this.#isIndex = true;
      json.skip();
    },
  };

  /** @throws RegistryError UNKNOWN if it is damaged */
  get mediaType(): string {
    if (!this.#isNamed) throw damaged();
    if (this.#named === '') return this.#isFirstSchema ? unsignedManifestType : ociMediaType(this.#isIndex);
    // It is sent as a header.
    if (!/^[\w.+-]+\/[\w.+-]+$/.test(this.#named)) throw damaged();
    return this.#named;
  }
}

/** Omits empty fields. */
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
 * Its `mediaType` field, or if an OCI manifest has none, what its other fields imply. A manifest that could be read as both an
 * image and an index is refused, whatever its media type (CVE-2021-41190). To containerd a null field is present.
 */
function mediaTypeOf(fields: ManifestFields): string {
  const { mediaType = '', schemaVersion } = fields;
  if ('fsLayers' in fields || schemaVersion === '1')
    throw invalid('Docker schema 1 manifests are not supported; push the image with docker 1.10 or newer');
  if (schemaVersion !== '2') throw invalid('schemaVersion must be 2');
  const isIndex = 'manifests' in fields;
  const isImage = 'config' in fields || 'layers' in fields;
  if (isIndex && isImage) throw invalid('a manifest has either manifests or config and layers, not both');
  if (mediaType === '') return ociMediaType(isIndex);
  const kind = kinds.get(mediaType);
  if (kind === undefined)
    throw invalid(
      `media type ${quote(mediaType)} is not supported; use one of ${[...kinds.keys()].join(', ')}`,
    );
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
      return { digest, isManifest: isManifestType(mediaType), platform };
    }),
  };
}

/**
 * Whether a layer need not be in the repository: its license forbids distribution, which its media type says, and it has a
 * URL to download it from (OCI Image Spec, "Non-Distributable Layers"; Docker's foreign layers). The URL is not parsed: a
 * parser would take 0.1 s for a crafted host of some kilobytes.
 */
export function isElsewhere({ mediaType, urls }: Pick<Descriptor, 'mediaType' | 'urls'>): boolean {
  return (
    /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/.test(
      mediaType,
    ) && urls.some((url) => /^https?:\/\/[^\s/?#]/i.test(url))
  );
}
