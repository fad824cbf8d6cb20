import { digestOrUndefined, digestParts, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { maxListedAnnotations, type Annotations } from './manifest-fields.ts';
import {
  listOf,
  objectOf,
  readStored,
  referrerFields,
  StoredType,
  textOf,
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

/** A manifest that is about another one. */
export interface Referrer {
  readonly subject: Digest;
  readonly descriptor: ReferrerDescriptor;
}

/**
 * What a manifest is a referrer of, from its bytes, which another registry may have taken: a field that is not as the spec
 * has it is passed over.
 * @returns undefined where it has no subject, or is no manifest
 */
export function readReferrer(bytes: Uint8Array, digest: Digest): Referrer | undefined {
  // Few have one, and reading JSON costs more than looking for a word.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!text.includes('"subject"') && !text.includes('\\u')) return undefined;
  const type = new StoredType();
  const noted = new FieldReader();
  const found: { subject?: Digest | undefined; configType?: string | undefined } = {};
  const mediaType = orUndefined(() => {
    readStored(bytes, {
      ...type.fields,
      ...noted.fields,
      subject: objectOf({ digest: (json) => (found.subject = digestOrUndefined(textOf(json))) }),
      config: objectOf({ mediaType: (json) => (found.configType = textOf(json)) }),
    });
    return type.mediaType;
  });
  const { subject, configType } = found;
  if (mediaType === undefined || subject === undefined) return undefined;
  const more = referrerFields(noted.artifactType, configType, noted.annotations);
  return { subject, descriptor: { mediaType, size: bytes.byteLength, digest, ...more } };
}

/**
 * An entry as it was kept.
 * @param digest of the manifest that it must be of
 * @returns undefined where it is damaged
 */
export function readDescriptor(bytes: Uint8Array, digest: Digest): ReferrerDescriptor | undefined {
  const noted = new FieldReader();
  const found: { mediaType?: string | undefined; digest?: string | undefined; size?: number } = {};
  const isRead = orUndefined(() => {
    readStored(bytes, {
      ...noted.fields,
      mediaType: (json) => (found.mediaType = textOf(json)),
      digest: (json) => (found.digest = textOf(json)),
      size: (json) => {
        if (json.kind() === 'number') found.size = Number(json.number());
        else json.skip();
      },
    });
    return true;
  });
  const { mediaType, size } = found;
  if (isRead === undefined || found.digest !== digest) return undefined;
  if (mediaType === undefined || size === undefined || !Number.isSafeInteger(size)) return undefined;
  return { mediaType, size, digest, ...referrerFields(noted.artifactType, undefined, noted.annotations) };
}

/** The digests that an index names, such as the one of a {@link referrersTag}; none where it is no index. */
export function readIndexed(bytes: Uint8Array): Digest[] {
  const digests: Digest[] = [];
  const digest: StoredField = (json) => {
    const named = digestOrUndefined(textOf(json));
    if (named !== undefined) digests.push(named);
  };
  return (
    orUndefined(() => {
      readStored(bytes, { manifests: listOf(objectOf({ digest })) });
      return digests;
    }) ?? []
  );
}

/** What a list of referrers has of a manifest. */
class FieldReader {
  artifactType: string | undefined;
  annotations: Annotations | undefined;

  readonly fields: StoredFields = {
    artifactType: (json) => (this.artifactType = textOf(json)),
    annotations: (json) => {
      const texts = new Map<string, string>();
      if (json.kind() !== 'object') json.skip();
      else
        json.object((key) => {
          const text = textOf(json);
          if (text !== undefined && texts.size < maxListedAnnotations) texts.set(key, text);
        });
      this.annotations = Object.fromEntries(texts);
    },
  };
}

/** @returns undefined where what is read is damaged */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * The tag at which clients keep the list of referrers where a registry has none (OCI Distribution Spec, "Referrers Tag
 * Schema").
 */
export function referrersTag(digest: Digest): Tag {
  const { algorithm, hex } = digestParts(digest);
  const tag = `${algorithm}-${hex.slice(0, 64)}`;
  if (!isTag(tag)) throw new Error(`${tag} is no tag`);
  return tag;
}
