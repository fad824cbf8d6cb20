import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { readNeeds, type ManifestNeeds, type NeededChild } from '../../protocol/manifest-needs.ts';
import { unsignedManifestType } from '../../protocol/manifests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { attachedTagPrefix, attachedTo } from '../../protocol/referrers.ts';
import type { ObjectStore } from '../../storage/store.ts';
import {
  layerLink,
  parseReferrerKey,
  revisionLink,
  signaturesPrefix,
  subjectPrefix,
  tagLinkSuffix,
  tagsPrefix,
} from '../layout.ts';
import { exists, readLink, undefinedIfDamaged } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { inOrderOfNeed } from './order-of-need.ts';

/** Concurrent reads of manifests, each with lists of what is about it. */
const parallelReads = 8;

/** Something that a manifest needs in its repository: bytes and a link. */
export interface Need {
  readonly digest: Digest;
  /** The keys of links, one of which is enough: some entries of an index may be blobs or manifests. */
  readonly links: readonly string[];
  /** Whether the manifest is not whole without it. */
  readonly isRequired: boolean;
}

export interface Needs {
  readonly all: readonly Need[];
  /** Their digests and that of the manifest, which is the last: whatever needs something is in a later group. */
  readonly groups: readonly (readonly Digest[])[];
}

export interface NeedsOptions {
  /** The bytes of a manifest; undefined if they are gone or damaged. */
  readonly load: (digest: Digest) => Promise<Uint8Array | undefined>;
  /** Whether an entry of an index must exist. */
  readonly isRequired: (child: NeededChild) => boolean;
}

interface NeededManifest {
  readonly digest: Digest;
  readonly isRequired: boolean;
  /** If they are at hand. */
  readonly bytes?: Uint8Array;
}

/** All that a manifest needs, with what that needs: what it names, and its referrers, which stay as long as it does. */
export async function needsOf(
  store: ObjectStore,
  name: RepositoryName,
  manifest: { readonly digest: Digest; readonly bytes: Uint8Array },
  options: NeedsOptions,
): Promise<Needs> {
  return await new Walk(store, name, options).run({ ...manifest, isRequired: true });
}

class Walk {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  readonly #options: NeedsOptions;
  readonly #needs = new Map<string, Need>();
  /** What each manifest needs. */
  readonly #needed = new Map<Digest, Set<Digest>>();

  constructor(store: ObjectStore, name: RepositoryName, options: NeedsOptions) {
    this.#store = store;
    this.#name = name;
    this.#options = options;
  }

  async run(root: NeededManifest): Promise<Needs> {
    const seen = new Set([root.digest]);
    let level = [root];
    while (level.length > 0) {
      const below = await inParallel(level, parallelReads, async (one) => await this.#visit(one));
      level = [];
      // The required ones first, since each is visited once.
      for (const one of below.flat().sort((a, b) => Number(b.isRequired) - Number(a.isRequired)))
        if (seen.size !== seen.add(one.digest).size) level.push(one);
    }
    return { all: [...this.#needs.values()], groups: inOrderOfNeed([root.digest], this.#needed) };
  }

  /** @returns the manifests that it needs */
  async #visit({ digest, bytes, isRequired }: NeededManifest): Promise<NeededManifest[]> {
    const stored = bytes ?? (await this.#options.load(digest));
    const needs = stored && readOrUndefined(stored);
    const about = await this.#referrersOf(digest);
    if (needs === undefined) return about;
    for (const blob of needs.blobs)
      this.#add(digest, blob.digest, isRequired && !blob.isElsewhere, [layerLink(this.#name, blob.digest)]);
    if (needs.mediaType === unsignedManifestType) await this.#addSignatures(digest);
    const children = await inParallel(
      needs.children,
      parallelReads,
      async (child) => await this.#child(digest, child, isRequired && this.#options.isRequired(child)),
    );
    return [...children.flat(), ...about];
  }

  /** @returns it, unless it is a blob: an entry of another type is usually one, but may be a manifest of an unknown type */
  async #child(
    index: Digest,
    { digest, isManifest }: NeededChild,
    isRequired: boolean,
  ): Promise<NeededManifest[]> {
    const [layer, revision] = [layerLink(this.#name, digest), revisionLink(this.#name, digest)];
    this.#add(index, digest, isRequired, isManifest ? [revision] : [layer, revision]);
    return isManifest || (await exists(this.#store, revision)) ? [{ digest, isRequired }] : [];
  }

  /** The manifests that are about another: they need not exist. */
  async #referrersOf(subject: Digest): Promise<NeededManifest[]> {
    const entries = listObjects(this.#store, subjectPrefix(this.#name, subject));
    const listed = await Array.fromAsync(
      entries,
      ({ key }) => parseReferrerKey(this.#name, key)?.referrer ?? [],
    );
    const referrers = [...listed.flat(), ...(await this.#attachedTo(subject))];
    for (const digest of referrers) this.#add(subject, digest, false, [revisionLink(this.#name, digest)]);
    return referrers.map((digest) => ({ digest, isRequired: false }));
  }

  /** The manifests of tags such as those of cosign. */
  async #attachedTo(subject: Digest): Promise<Digest[]> {
    const tag = attachedTagPrefix(subject);
    if (tag === undefined) return [];
    const prefix = tagsPrefix(this.#name);
    const objects = await Array.fromAsync(listObjects(this.#store, `${prefix}${tag}`));
    const links = objects.filter(
      ({ key }) =>
        key.endsWith(tagLinkSuffix) &&
        attachedTo(key.slice(prefix.length, -tagLinkSuffix.length)) === subject,
    );
    const read = async ({ key }: { readonly key: string }) =>
      (await undefinedIfDamaged(this.#store, key, readLink(this.#store, key)))?.digest ?? [];
    return (await inParallel(links, parallelReads, read)).flat();
  }

  /** Distribution 2.3 stored the signatures of a schema 1 manifest as blobs. */
  async #addSignatures(manifest: Digest): Promise<void> {
    for await (const { key } of listObjects(this.#store, signaturesPrefix(this.#name, manifest))) {
      const digest = (await undefinedIfDamaged(this.#store, key, readLink(this.#store, key)))?.digest;
      if (digest !== undefined) this.#add(manifest, digest, false, [layerLink(this.#name, digest)]);
    }
  }

  #add(manifest: Digest, digest: Digest, isRequired: boolean, links: readonly string[]): void {
    const id = links.join();
    this.#needs.set(id, {
      digest,
      links,
      isRequired: isRequired || this.#needs.get(id)?.isRequired === true,
    });
    this.#needed.set(manifest, (this.#needed.get(manifest) ?? new Set()).add(digest));
  }
}

/** @returns undefined for what is no manifest */
function readOrUndefined(bytes: Uint8Array): ManifestNeeds | undefined {
  try {
    return readNeeds(bytes);
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}
