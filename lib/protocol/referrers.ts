import { digestOrUndefined, digestParts, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { isObject, parseStored, storedMediaType } from './manifests.ts';
import { isTag, type Tag } from './tags.ts';

/** The media type of a list of referrers (OCI Distribution Spec, "Listing Referrers"). */
export const referrersMediaType = 'application/vnd.oci.image.index.v1+json';

/** An entry of a list of referrers. */
export interface ReferrerDescriptor {
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
  /** Of the manifest, or else the media type of an image's config. */
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
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
  try {
    const document = parseStored(bytes);
    const { subject, artifactType, config, annotations } = document;
    const about = isObject(subject) ? digestOrUndefined(subject['digest']) : undefined;
    if (about === undefined) return undefined;
    const type = textOf(artifactType) ?? (isObject(config) ? textOf(config['mediaType']) : undefined);
    const notes = textsOf(annotations);
    const descriptor = {
      mediaType: storedMediaType(bytes),
      size: bytes.byteLength,
      digest,
      ...(type === undefined ? {} : { artifactType: type }),
      ...(notes === undefined ? {} : { annotations: notes }),
    };
    return { subject: about, descriptor };
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * An entry as it was kept.
 * @param digest of the manifest that it must be of
 * @returns undefined where it is damaged
 */
export function readDescriptor(bytes: Uint8Array, digest: Digest): ReferrerDescriptor | undefined {
  try {
    const entry: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    const isWhole =
      isObject(entry) &&
      typeof entry['mediaType'] === 'string' &&
      entry['digest'] === digest &&
      Number.isSafeInteger(entry['size']);
    return isWhole ? (entry as unknown as ReferrerDescriptor) : undefined;
  } catch {
    return undefined;
  }
}

/** The digests that an index names, such as the one of a {@link referrersTag}; none where it is no index. */
export function readIndexed(bytes: Uint8Array): Digest[] {
  try {
    const { manifests } = parseStored(bytes);
    if (!Array.isArray(manifests)) return [];
    return manifests.flatMap(
      (entry: unknown) => (isObject(entry) ? digestOrUndefined(entry['digest']) : undefined) ?? [],
    );
  } catch (error) {
    if (error instanceof RegistryError) return [];
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

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function textsOf(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  const texts = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return texts.length === 0 ? undefined : Object.fromEntries(texts);
}
