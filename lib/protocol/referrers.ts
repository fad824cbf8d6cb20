import { digestOrUndefined, digestParts, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { maxListedAnnotations, type Annotations } from './manifest-fields.ts';
import {
  listOf,
  objectOf,
  readStored,
  referrerFields,
  StoredType,
  type ReferrerFields,
  type StoredField,
  type StoredFields,
} from './manifests.ts';
import { isTag, type Tag } from './tags.ts';

/** The media type of a list of referrers (OCI Distribution Spec, "Listing Referrers"). */
export const referrersMediaType = 'application/vnd.oci.image.index.v1+json';

/** An entry of a list of referrers. */
export interface ReferrerDescriptor extends ReferrerFields {
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
}

/** A manifest with a subject. */
export interface Referrer {
  readonly subject: Digest;
  readonly descriptor: ReferrerDescriptor;
}

/**
 * Reads a stored manifest as a referrer. Another registry may have accepted it, so fields that violate the spec are ignored.
 * @returns undefined if it has no subject or is not a manifest
 */
export function readReferrer(bytes: Uint8Array, digest: Digest): Referrer | undefined {
  // Few manifests have a subject, and searching for the word is cheaper than parsing.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!text.includes('"subject"') && !text.includes('\\u')) return undefined;
  const type = new StoredType();
  const reader = new FieldReader();
  const found: { subject?: Digest | undefined; configType?: string | undefined } = {};
  const mediaType = orUndefined(() => {
    readStored(bytes, {
      ...type.fields,
      ...reader.fields,
      subject: objectOf({ digest: (json) => (found.subject = digestOrUndefined(json.textIfAny())) }),
      config: objectOf({ mediaType: (json) => (found.configType = json.textIfAny()) }),
    });
    return type.mediaType;
  });
  const { subject, configType } = found;
  if (mediaType === undefined || subject === undefined) return undefined;
  const more = referrerFields(reader.artifactType, configType, reader.annotations);
  return { subject, descriptor: { mediaType, size: bytes.byteLength, digest, ...more } };
}

/**
 * Reads a stored entry of the index.
 * @param digest the entry must have
 * @returns undefined if it is damaged
 */
export function readDescriptor(bytes: Uint8Array, digest: Digest): ReferrerDescriptor | undefined {
  const reader = new EntryReader();
  const entry = orUndefined(() => {
    readStored(bytes, reader.fields);
    return reader.entry;
  });
  return entry?.digest === digest ? entry : undefined;
}

/** The entries of a list of referrers of another registry; what is damaged is left out, and there are none if it is no list. */
export function readReferrers(bytes: Uint8Array): ReferrerDescriptor[] {
  const entries: ReferrerDescriptor[] = [];
  const read: StoredField = (json) => {
    const reader = new EntryReader();
    objectOf(reader.fields)(json);
    if (reader.entry !== undefined) entries.push(reader.entry);
  };
  const isRead = orUndefined(() => {
    readStored(bytes, { manifests: listOf(read) });
    return true;
  });
  return isRead === true ? entries : [];
}

/** The digests of an index's entries, such as the index of a {@link referrersTag}; none if it is not an index. */
export function readIndexed(bytes: Uint8Array): Digest[] {
  const digests: Digest[] = [];
  const digest: StoredField = (json) => {
    const named = digestOrUndefined(json.textIfAny());
    if (named !== undefined) digests.push(named);
  };
  const isRead = orUndefined(() => {
    readStored(bytes, { manifests: listOf(objectOf({ digest })) });
    return true;
  });
  return isRead === true ? digests : [];
}

/** Reads the fields that a list of referrers shows of a manifest. */
class FieldReader {
  artifactType: string | undefined;
  annotations: Annotations | undefined;

  readonly fields: StoredFields = {
    artifactType: (json) => (this.artifactType = json.textIfAny()),
    annotations: (json) => {
      const texts = new Map<string, string>();
      json.ifKind('object', () => {
        json.object((key) => {
          const text = json.textIfAny();
          if (text !== undefined && texts.size < maxListedAnnotations) texts.set(key, text);
        });
      });
      this.annotations = Object.fromEntries(texts);
    },
  };
}

/** Reads an entry of a list of referrers. */
class EntryReader {
  readonly #more = new FieldReader();
  #mediaType: string | undefined;
  #digest: Digest | undefined;
  #size: number | undefined;

  readonly fields: StoredFields = {
    ...this.#more.fields,
    mediaType: (json) => (this.#mediaType = json.textIfAny()),
    digest: (json) => (this.#digest = digestOrUndefined(json.textIfAny())),
    size: (json) => (this.#size = json.ifKind('number', () => Number(json.number()))),
  };

  /** Undefined if it is damaged. */
  get entry(): ReferrerDescriptor | undefined {
    const { artifactType, annotations } = this.#more;
    const [mediaType, digest, size] = [this.#mediaType, this.#digest, this.#size];
    if (mediaType === undefined || digest === undefined) return undefined;
    if (size === undefined || !Number.isSafeInteger(size)) return undefined;
    return { mediaType, size, digest, ...referrerFields(artifactType, undefined, annotations) };
  }
}

/** @returns undefined if the bytes are damaged */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * The tag under which clients keep a list of referrers in registries without this API (OCI Distribution Spec, "Referrers Tag
 * Schema").
 */
export function referrersTag(digest: Digest): Tag {
  const { algorithm, hex } = digestParts(digest);
  const tag = `${algorithm}-${hex.slice(0, 64)}`;
  if (!isTag(tag)) throw new Error(`${tag} is no tag`);
  return tag;
}

/**
 * Tags about another manifest: those of cosign, and those under which clients keep a list of referrers. Lists for a SHA-512 have
 * only a part of it in their tag.
 */
const attached = /^sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?$/;

/** The manifest that a tag such as those of cosign is about; undefined for all other tags. */
export function attachedTo(tag: string): Digest | undefined {
  const hex = attached.exec(tag)?.[1];
  return hex === undefined ? undefined : digestOrUndefined(`sha256:${hex}`);
}

/** What all tags that are {@link attachedTo} a manifest begin with; undefined if it can have none. */
export function attachedTagPrefix(subject: Digest): string | undefined {
  const { algorithm, hex } = digestParts(subject);
  return algorithm === 'sha256' ? `${algorithm}-${hex}` : undefined;
}
