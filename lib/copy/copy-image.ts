import { mapConcurrently } from '../concurrency/map-concurrently.ts';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { parseManifest, type Child, type Manifest } from '../protocol/manifests.ts';
import type { Reference } from '../protocol/references.ts';
import { attachedTagPrefix } from '../protocol/referrers.ts';
import { parseTag, type Tag } from '../protocol/tags.ts';
import { TagImmutable } from '../registry/interface.ts';
import type { Announce } from '../registry/outbox/announcement.ts';
import { entriesFor, isFor, platformOf, type WantedPlatform } from './platforms.ts';
import { undefinedIfMissing, type CopySource, type CopyTarget } from './source.ts';

/** Blobs of one image that are transferred at a time. */
const parallelBlobs = 4;

/** Manifests of one image with all that is attached to it. Only crafted ones have more. */
const maxManifests = 10_000;

/** Indexes around a manifest. */
const maxDepth = 8;

/** What the tags end with under which cosign keeps signatures, attestations and SBOMs. */
const cosignSuffixes = ['.sig', '.att', '.sbom'];

export interface CopyOptions {
  /** That the image gets; none for a copy by digest alone. */
  readonly tag: Tag | undefined;
  /** Of an index: one is copied as an image, several are copied with the index. All by default. */
  readonly platforms?: readonly WantedPlatform[];
  /** Whether signatures, SBOMs and whatever else is attached come along. */
  readonly referrers: boolean;
  /** All tags of the source, if they are known. */
  readonly knownTags?: ReadonlySet<Tag> | undefined;
  /** Only looks, and changes nothing. */
  readonly dryRun?: boolean;
}

/** What was copied. */
export interface Copied {
  readonly digest: Digest;
  /** Whether the target had the image already, under this tag. What is attached was looked for all the same. */
  readonly isThere: boolean;
  /** Written to the target, those of `referrers` included. */
  readonly manifests: number;
  readonly referrers: number;
  /** That the target lacked. */
  readonly blobs: number;
  /** That were transferred: 0 within one storage. */
  readonly bytes: number;
}

/**
 * Copies an image with all that it consists of, through the writers of the registry. The tag comes last, so an interruption leaves none
 * that leads to something incomplete, and a repetition completes it.
 * @throws UpstreamError, RegistryError; TagImmutable before anything is copied
 */
export async function copyImage(
  source: CopySource,
  target: CopyTarget,
  reference: Reference,
  options: CopyOptions,
): Promise<Copied> {
  return await new ImageCopy(source, target, options).run(reference);
}

class ImageCopy {
  readonly #source: CopySource;
  readonly #target: CopyTarget;
  readonly #options: CopyOptions;
  /** The manifests that were read, to which something may be attached. It grows while that is looked for. */
  readonly #subjects = new Set<Digest>();
  /** Whether the image was read, and what follows is attached to it. */
  #isAttaching = false;
  readonly #count = { manifests: 0, referrers: 0, blobs: 0, bytes: 0 };

  constructor(source: CopySource, target: CopyTarget, options: CopyOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  async run(reference: Reference): Promise<Copied> {
    const { tag, referrers, dryRun = false } = this.#options;
    const resolved = await this.#source.resolve(reference);
    const digest = await this.#chosen(resolved);
    const isThere = await this.#isThere(digest, tag);
    if (!dryRun) {
      const bytes = isThere ? undefined : await this.#content(digest);
      if (bytes !== undefined && digest === resolved) await this.#assertPlatform(digest, bytes);
      if (isThere) await this.#look(digest);
      if (referrers) await this.#attached(digest);
      if (bytes !== undefined) await this.#putImage(digest, bytes, tag);
    }
    return { digest, isThere, ...this.#count };
  }

  /** Of an index and one platform, the image. */
  async #chosen(digest: Digest): Promise<Digest> {
    const { platforms = [] } = this.#options;
    const [platform] = platforms;
    if (platform === undefined || platforms.length > 1) return digest;
    const bytes = await this.#source.manifest(digest);
    return isIndex(this.#parse(digest, bytes)) ? (this.#entries(digest, bytes)[0] ?? digest) : digest;
  }

  /** Of an image that is no index, once its config is there. @throws Error if it is for another platform than those that are wanted */
  async #assertPlatform(digest: Digest, bytes: Buffer): Promise<void> {
    const { platforms = [] } = this.#options;
    if (platforms.length === 0 || isIndex(this.#parse(digest, bytes))) return;
    const { registry, name } = this.#target;
    const found = await platformOf(bytes, async (config) => await registry.blobs.open(name, config));
    if (found === undefined || platforms.some((one) => isFor(one, found))) return;
    const [actual, wanted] = [found.text, platforms.map(({ text }) => text).join(', ')];
    throw new Error(`image ${digest} of ${this.#source.title} is for ${actual}, not for ${wanted}`);
  }

  /** @throws TagImmutable if the tag may not move */
  async #isThere(digest: Digest, tag: Tag | undefined): Promise<boolean> {
    if (tag === undefined) return await this.#target.registry.manifests.has(this.#target.name, digest);
    const current = await this.#current(tag);
    if (current === digest) return true;
    const rule = this.#target.immutable?.(tag);
    if (rule !== undefined && current !== undefined) throw new TagImmutable(tag, rule, 'copy to another tag');
    return false;
  }

  /** What a tag of the target points at; undefined if it is not there. */
  async #current(tag: Tag): Promise<Digest | 'damaged' | undefined> {
    const { registry, name } = this.#target;
    try {
      const found = await undefinedIfMissing(registry.manifests.get(name, { kind: 'tag', tag }));
      return found?.info.digest;
    } catch (error) {
      if (error instanceof RegistryError && error.failure === 'UNKNOWN') return 'damaged';
      throw error;
    }
  }

  /** Reads which manifests an image has that is in the target already. */
  async #look(digest: Digest): Promise<void> {
    const { registry, name } = this.#target;
    const found = await undefinedIfMissing(registry.manifests.get(name, { kind: 'digest', digest }));
    if (found === undefined || this.#subjects.has(digest)) return;
    this.#subjects.add(digest);
    for (const child of this.#parse(digest, found.bytes).manifests) await this.#look(child.digest);
  }

  /** Brings all that a manifest needs. @param depth of indexes around it @param read its bytes, if they are known @returns them */
  async #content(digest: Digest, depth = 0, read?: Buffer): Promise<Buffer> {
    this.#subjects.add(digest);
    if (this.#subjects.size > maxManifests || depth > maxDepth)
      throw new Error(`the image of ${this.#source.title} has more manifests than any that is in use`);
    const bytes = read ?? (await this.#source.manifest(digest));
    const manifest = this.#parse(digest, bytes);
    for (const child of this.#wanted(digest, manifest, bytes)) {
      if (child.isManifest) await this.#put(child.digest, await this.#content(child.digest, depth + 1));
      // Usually a blob, as in BuildKit's caches, but it may be a manifest of another type.
      else if ((await undefinedIfMissing(this.#give(child.digest))) === undefined)
        await this.#put(child.digest, await this.#content(child.digest, depth + 1));
    }
    await Array.fromAsync(
      mapConcurrently(manifest.blobs, parallelBlobs, async (blob) => await this.#give(blob)),
    );
    return bytes;
  }

  #parse(digest: Digest, bytes: Buffer): Manifest {
    try {
      return parseManifest(bytes, undefined);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw new Error(`manifest ${digest} of ${this.#source.title} cannot be stored: ${error.message}`, {
        cause: error,
      });
    }
  }

  #wanted(digest: Digest, manifest: Manifest, bytes: Buffer): readonly Child[] {
    const isWhole = this.#isAttaching || (this.#options.platforms?.length ?? 0) < 2;
    if (isWhole || !isIndex(manifest)) return manifest.manifests;
    const wanted = new Set(this.#entries(digest, bytes));
    return manifest.manifests.filter((child) => wanted.has(child.digest));
  }

  /** @throws Error if the index lacks a platform */
  #entries(digest: Digest, bytes: Buffer): readonly Digest[] {
    const { platforms = [] } = this.#options;
    const found = entriesFor(bytes, platforms);
    const missing = platforms.filter((_, i) => found[i] === undefined).map(({ text }) => text);
    if (missing.length > 0)
      throw new Error(`index ${digest} of ${this.#source.title} has no image for ${missing.join(', ')}`);
    return found.filter((one) => one !== undefined);
  }

  async #give(digest: Digest): Promise<true> {
    const { registry, name } = this.#target;
    // What a garbage collection is going to delete counts as missing, as for clients that push.
    const has = await undefinedIfMissing(registry.blobs.stat(name, digest, { hidesCondemned: true }));
    if (has !== undefined) return true;
    const bytes = await this.#source.give(this.#target, digest);
    this.#count.bytes += bytes;
    this.#count.blobs += 1;
    return true;
  }

  /** @throws Error if it is an index of some platforms, and the registry accepts none */
  async #putImage(digest: Digest, bytes: Buffer, tag: Tag | undefined): Promise<void> {
    try {
      await this.#put(digest, bytes, tag, this.#target.announce);
    } catch (error) {
      const isMissing = error instanceof RegistryError && error.failure === 'MANIFEST_BLOB_UNKNOWN';
      if (!isMissing || (this.#options.platforms?.length ?? 0) < 2) throw error;
      throw new Error(
        'this registry accepts no index without all of its images: set REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS, or choose one platform',
        { cause: error },
      );
    }
  }

  async #put(digest: Digest, bytes: Buffer, tag?: Tag, announce?: Announce): Promise<void> {
    const { registry, name, immutable, pushedBy } = this.#target;
    await registry.manifests.put(name, { kind: 'digest', digest }, bytes, undefined, {
      pushedBy,
      announce,
      ...(tag !== undefined && { tags: [tag], ...(immutable && { immutable }) }),
    });
    this.#count.manifests += 1;
  }

  /** Brings what is attached to what was read, and what is attached to that. Before the tag, so that whoever sees that finds it signed. */
  async #attached(image: Digest): Promise<void> {
    this.#isAttaching = true;
    for (const subject of this.#subjects) {
      for (const referrer of await this.#source.referrers(subject, this.#options.knownTags))
        await this.#referrer(subject, referrer);
      for (const suffix of cosignSuffixes) await this.#cosignTag(subject, suffix, subject === image);
    }
  }

  /** The list is the source's word alone: what does not say itself that it is attached would bring what is attached to another image. */
  async #referrer(subject: Digest, digest: Digest): Promise<void> {
    if (this.#subjects.has(digest)) return;
    const { registry, name } = this.#target;
    const held = await undefinedIfMissing(registry.manifests.get(name, { kind: 'digest', digest }));
    // A list may name what was deleted.
    const bytes = held?.bytes ?? (await undefinedIfMissing(this.#source.manifest(digest)));
    if (bytes === undefined || this.#parse(digest, bytes).subject !== subject) return;
    if (held !== undefined) this.#subjects.add(digest);
    else {
      await this.#put(digest, await this.#content(digest, 0, bytes));
      this.#count.referrers += 1;
    }
  }

  /**
   * Brings what cosign keeps at a tag.
   * @param replaces whether it takes the place of what the target has there: the source may name the image of somebody else as a part of its own
   */
  async #cosignTag(subject: Digest, suffix: string, replaces: boolean): Promise<void> {
    const prefix = attachedTagPrefix(subject);
    if (prefix === undefined) return;
    const tag = parseTag(`${prefix}${suffix}`);
    if (this.#options.knownTags?.has(tag) === false) return;
    const digest = await undefinedIfMissing(this.#source.resolve({ kind: 'tag', tag }));
    if (digest === undefined || (await this.#isThere(digest, tag))) return;
    if (!replaces && (await this.#current(tag)) !== undefined) return;
    await this.#put(digest, await this.#content(digest), tag);
    this.#count.referrers += 1;
  }
}

function isIndex({ mediaType }: Manifest): boolean {
  return mediaType.endsWith('.index.v1+json') || mediaType.endsWith('.list.v2+json');
}
