import type { Digest } from '../protocol/digests.ts';
import { storedMediaType } from '../protocol/manifests.ts';

/** What lies in the bucket under the digest of a manifest, which may be a layer that somebody takes for one. */
export class StoredManifest {
  readonly bytes: Buffer;
  #mediaType: string | undefined;

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
