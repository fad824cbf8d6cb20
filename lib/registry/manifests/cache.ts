import { share } from '../../concurrency/share.ts';
import { digestParts, type Digest } from '../../protocol/digests.ts';
import { damaged, defaultChild, maxManifestSize, storedMediaType } from '../../protocol/manifests.ts';
import { ObjectTooLarge, type ObjectStore } from '../../storage/store.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { blobData } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';

/** Bytes of the largest manifest that is served: distribution accepted larger ones. */
export const maxStoredSize = 4 * maxManifestSize;

/** Bytes of all cached manifests. */
const maxCacheSize = 16 * 1024 * 1024;

/** A manifest of the largest size. */
const leastCacheSize = 4 * 1024 * 1024;

/**
 * The bytes of a manifest; undefined if there are none.
 * @throws RegistryError UNKNOWN if they were altered
 */
export async function loadManifest(store: ObjectStore, digest: Digest): Promise<Buffer | undefined> {
  const data = await undefinedIfMissing(store.read(blobData(digest), maxStoredSize)).catch(
    (error: unknown) => {
      throw error instanceof ObjectTooLarge ? damaged(error) : error;
    },
  );
  // Altered bytes are never served under a digest they do not have.
  if (data !== undefined && digestOf(data.bytes, digestParts(digest).algorithm) !== digest) throw damaged();
  return data?.bytes;
}

/** The stored bytes of a manifest, or of a layer that is requested as one. */
export class StoredManifest {
  readonly bytes: Buffer;
  #mediaType: string | undefined;
  #defaultChild: { readonly digest: Digest | undefined } | undefined;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /**
   * The media type it declares, parsed once: its JSON may have megabytes.
   * @throws RegistryError UNKNOWN if it is not a manifest
   */
  get mediaType(): string {
    this.#mediaType ??= storedMediaType(this.bytes);
    return this.#mediaType;
  }

  /** For an index, the image for clients that know no platforms; parsed once. */
  get defaultChild(): Digest | undefined {
    this.#defaultChild ??= { digest: defaultChild(this.bytes) };
    return this.#defaultChild.digest;
  }
}

/**
 * Caches manifests by digest, so that they never become stale; evicts the least recently used. It does not tell whether a
 * repository has a manifest.
 */
export class ManifestCache {
  /** Least recently used first. */
  readonly #entries = new Map<Digest, StoredManifest>();
  #size = 0;
  readonly #onRead: ((isHit: boolean) => void) | undefined;
  /** In bytes. */
  readonly #maxSize: number;

  /** @param workers processes that share the memory */
  constructor(onRead?: (isHit: boolean) => void, workers = 1) {
    this.#onRead = onRead;
    this.#maxSize = share(maxCacheSize, workers, leastCacheSize);
  }

  get(digest: Digest): StoredManifest | undefined {
    const manifest = this.#entries.get(digest);
    this.#onRead?.(manifest !== undefined);
    if (manifest === undefined) return undefined;
    this.#entries.delete(digest);
    this.#entries.set(digest, manifest);
    return manifest;
  }

  /** @param manifest with this digest, which was verified */
  set(digest: Digest, manifest: StoredManifest): void {
    const { byteLength } = manifest.bytes;
    if (byteLength > this.#maxSize || this.#entries.has(digest)) return;
    this.#entries.set(digest, manifest);
    this.#size += byteLength;
    for (const [oldest, { bytes }] of this.#entries) {
      if (this.#size <= this.#maxSize) return;
      this.#entries.delete(oldest);
      this.#size -= bytes.byteLength;
    }
  }
}
