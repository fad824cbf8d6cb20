import { digestOrUndefined, type Digest } from './digests.ts';
import type { JsonReader } from './json-reader.ts';
import { fold, type Platform } from './manifest-fields.ts';
import {
  isElsewhere,
  isManifestType,
  listOf,
  readStoredObject,
  storedMediaType,
  type StoredField,
} from './manifests.ts';

/** What a stored manifest names. */
export interface ManifestNeeds {
  readonly mediaType: string;
  /** Config and layers, in their order; with duplicates. */
  readonly blobs: readonly NeededObject[];
  /** The entries of an index. */
  readonly children: readonly NeededChild[];
  /** It need not exist (OCI Distribution Spec, "Pushing Manifests with Subject"). */
  readonly subject: Digest | undefined;
}

export interface NeededObject {
  readonly digest: Digest;
  /** Bytes, as the manifest says; undefined if it does not, as schema 1. */
  readonly size: number | undefined;
  /** Whether it need not be in the repository: a layer that may not be distributed, and has a URL. It may be there. */
  readonly isElsewhere: boolean;
}

export interface NeededChild extends NeededObject {
  /** Whether its media type is a manifest's. Others may be blobs, as in BuildKit's caches. */
  readonly isManifest: boolean;
  readonly platform: Platform | undefined;
}

/**
 * All that a stored manifest of any kind names. For those that decide what may be deleted, and what is missing, so it finds too much
 * rather than too little: fields of all spellings that Go reads, and each of a repeated field. What has no valid digest is left out.
 * @throws RegistryError UNKNOWN if it cannot be read as a manifest
 */
export function readNeeds(bytes: Uint8Array): ManifestNeeds {
  const mediaType = storedMediaType(bytes);
  const blobs: NeededObject[] = [];
  const children: NeededChild[] = [];
  const found: { subject?: Digest | undefined } = {};
  const blob = descriptor((one) => blobs.push(one));
  const fields = anyCase({
    config: blob,
    layers: listOf(blob),
    // Of artifact manifests, which were part of OCI 1.1 before its release.
    blobs: listOf(blob),
    // Of schema 1.
    fslayers: listOf(blob),
    manifests: listOf(descriptor((one) => children.push(one))),
    subject: descriptor(({ digest }) => (found.subject = digest)),
  });
  readStoredObject(bytes, fields);
  return { mediaType, blobs, children, subject: found.subject };
}

/** Reads a descriptor, or an entry of schema 1's `fsLayers`. */
function descriptor(add: (one: NeededChild) => void): StoredField {
  return (json) => {
    const found: { digest?: Digest | undefined; size?: number | undefined; mediaType?: string | undefined } =
      {};
    const urls: string[] = [];
    const platform: { os?: string | undefined; architecture?: string | undefined } = {};
    const digest: StoredField = (value) => (found.digest = digestOrUndefined(value.textIfAny()));
    anyCase({
      digest,
      blobsum: digest,
      size: (value) => (found.size = value.ifKind('number', () => Number(value.number()))),
      mediatype: (value) => (found.mediaType = value.textIfAny()),
      urls: listOf((value) => {
        const url = value.textIfAny();
        if (url !== undefined) urls.push(url);
      }),
      platform: anyCase({
        os: (value) => (platform.os = value.textIfAny()),
        architecture: (value) => (platform.architecture = value.textIfAny()),
      }),
    })(json);
    const { digest: named, size, mediaType = '' } = found;
    if (named === undefined) return;
    const { os, architecture } = platform;
    add({
      digest: named,
      size,
      isElsewhere: isElsewhere({ mediaType, urls }),
      isManifest: isManifestType(mediaType),
      platform: os === undefined || architecture === undefined ? undefined : { os, architecture },
    });
  };
}

/** Reads fields of an object, however their names are spelled; skips any other value. @param fields by {@link fold} of the name */
function anyCase(fields: Readonly<Record<string, StoredField>>): StoredField {
  const known = new Map(Object.entries(fields));
  const skip: StoredField = (json: JsonReader) => {
    json.skip();
  };
  return (json) => {
    json.ifKind('object', () => {
      json.object((key) => {
        (known.get(fold(key)) ?? skip)(json);
      });
    });
  };
}
