import { digestParts, type Digest } from '../../protocol/digests.ts';
import { damaged, defaultChild, maxManifestSize, storedMediaType } from '../../protocol/manifests.ts';
import { ObjectTooLarge, type ObjectStore } from '../../storage/store.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { blobData } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';

/** Bytes of the largest manifest that is served: distribution took larger ones than we do. */
export const maxStoredSize = 4 * maxManifestSize;

/**
 * The bytes of a manifest, or undefined when there are none.
 * @throws RegistryError UNKNOWN when they were altered
 */
export async function loadManifest(store: ObjectStore, digest: Digest): Promise<Buffer | undefined> {
  const data = await undefinedIfMissing(readSmall(store, blobData(digest)));
  if (data === undefined) return undefined;
  // A hash of some kilobytes: what was altered in the bucket is not passed on under a digest it does not have.
  if (digestOf(data.bytes, digestParts(digest).algorithm) !== digest) throw damaged();
  return data.bytes;
}

async function readSmall(store: ObjectStore, key: string): ReturnType<ObjectStore['read']> {
  try {
    return await store.read(key, maxStoredSize);
  } catch (error) {
    throw error instanceof ObjectTooLarge ? damaged(error) : error;
  }
}

/** What lies in the bucket under the digest of a manifest, which may be a layer that somebody takes for one. */
export class StoredManifest {
  readonly bytes: Buffer;
  #mediaType: string | undefined;
  #defaultChild: { readonly digest: Digest | undefined } | undefined;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /**
   * The media type it says it has, found out once: its JSON may have megabytes.
   * @throws RegistryError UNKNOWN when it is no manifest
   */
  get mediaType(): string {
    this.#mediaType ??= storedMediaType(this.bytes);
    return this.#mediaType;
  }

  /** Of an index, the image for clients without any notion of platforms; found out once as well. */
  get defaultChild(): Digest | undefined {
    this.#defaultChild ??= { digest: defaultChild(this.bytes) };
    return this.#defaultChild.digest;
  }
}

/**
 * Manifests by their digest, which says all about their bytes: they never change. The least recently used go first.
 * Whether a repository has a manifest is another question, and not answered here.
 */
export class ManifestCache {
  readonly #capacity: number;
  /** In the order of their last use. */
  readonly #entries = new Map<Digest, StoredManifest>();
  #size = 0;

  /** @param capacity in bytes */
  constructor(capacity = 16 * 1024 * 1024) {
    this.#capacity = capacity;
  }

  get(digest: Digest): StoredManifest | undefined {
    const manifest = this.#entries.get(digest);
    if (manifest === undefined) return undefined;
    this.#entries.delete(digest);
    this.#entries.set(digest, manifest);
    return manifest;
  }

  /** @param manifest whose digest was computed */
  set(digest: Digest, manifest: StoredManifest): void {
    const { byteLength } = manifest.bytes;
    if (byteLength > this.#capacity || this.#entries.has(digest)) return;
    this.#entries.set(digest, manifest);
    this.#size += byteLength;
    for (const [oldest, { bytes }] of this.#entries) {
      if (this.#size <= this.#capacity) return;
      this.#entries.delete(oldest);
      this.#size -= bytes.byteLength;
    }
  }
}
