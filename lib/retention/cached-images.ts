import { inParallel } from '../concurrency/in-parallel.ts';
import type { Digest } from '../protocol/digests.ts';
import { readNeeds } from '../protocol/manifest-needs.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import { blobData, layersPrefix, parseRevisionLink, revisionsPrefix } from '../registry/layout.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import { listObjects } from '../registry/list-objects.ts';
import { loadManifest } from '../registry/manifests/cache.ts';
import { digestOfLink } from '../registry/repository-keys.ts';
import type { ListedTag, Tags } from '../registry/tags.ts';
import type { ObjectStore } from '../storage/store.ts';
import type { Pulls } from './pulls.ts';

/** Concurrent reads of manifests. */
const parallelReads = 16;

/** What a manifest says, which never changes. */
export interface Content {
  /** Bytes of the manifest itself. */
  readonly size: number;
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
}

/** A tag, and where it leads. */
interface PointingTag {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly used: number;
}

/** Of a manifest. Times are milliseconds since 1970. */
interface CachedManifest extends Content {
  readonly pushed: Date;
  /** When it was itself pulled last, or came. */
  readonly used: number;
}

/** A manifest to which no tag leads. */
interface UntaggedManifest {
  readonly digest: Digest;
  readonly pushed: Date;
  /** The last use. */
  readonly used: Date;
}

/**
 * The images of a repository that is a cache, and when they were last used: pulled, or asked for at the upstream. What leads to a manifest
 * uses it as well: a tag, an index, and what it is about.
 */
export class CachedImages {
  readonly #tags: readonly PointingTag[];
  readonly #manifests: ReadonlyMap<Digest, CachedManifest>;
  readonly #layers: ReadonlySet<Digest>;
  /** What each manifest leads to, of this repository. */
  readonly #leads = new Map<Digest, Digest[]>();
  /** The last use of each manifest. */
  readonly #used: ReadonlyMap<Digest, number>;

  private constructor(
    tags: readonly PointingTag[],
    manifests: ReadonlyMap<Digest, CachedManifest>,
    layers: ReadonlySet<Digest>,
  ) {
    this.#tags = tags;
    this.#manifests = manifests;
    this.#layers = layers;
    for (const [digest, { children, subject }] of manifests) {
      for (const child of children) this.#lead(digest, child);
      if (subject !== undefined) this.#lead(subject, digest);
    }
    const uses = [
      ...tags.map(({ digest, used }) => [digest, used] as const),
      ...[...manifests].map(([digest, { used }]) => [digest, used] as const),
    ];
    this.#used = this.#spread(uses.sort(([, a], [, b]) => b - a));
  }

  /**
   * Reads what a repository has: two listings, and each manifest that is not known yet.
   * @param known contents of manifests of this repository, to which it adds
   * @throws StoreUnavailable
   */
  static async read(
    store: ObjectStore,
    name: RepositoryName,
    tags: Tags,
    stored: readonly ListedTag[],
    pulls: Pulls,
    known: Map<Digest, Content>,
  ): Promise<CachedImages> {
    const usedOf = (at: Date, pulled: Date | undefined) => Math.max(at.getTime(), pulled?.getTime() ?? 0);
    const pointing = await inParallel(stored, parallelReads, async (one) => {
      const digest = await tags.target(one);
      const used = usedOf(one.lastModified, pulls.of({ kind: 'tag', tag: one.tag }));
      return digest === undefined ? [] : [{ tag: one.tag, digest, used }];
    });
    const layers = new Set<Digest>();
    for await (const { key } of listObjects(store, layersPrefix(name))) {
      const digest = digestOfLink(key);
      if (digest !== undefined) layers.add(digest);
    }
    const links: { digest: Digest; pushed: Date }[] = [];
    for await (const { key, lastModified: pushed } of listObjects(store, revisionsPrefix(name))) {
      const digest = parseRevisionLink(name, key);
      if (digest !== undefined) links.push({ digest, pushed });
    }
    const manifests = await inParallel(links, parallelReads, async ({ digest, pushed }) => {
      const used = usedOf(pushed, pulls.of({ kind: 'digest', digest }));
      const content = known.get(digest) ?? (await readContent(store, digest));
      known.set(digest, content);
      return [digest, { ...content, pushed, used }] as const;
    });
    return new CachedImages(pointing.flat(), new Map(manifests), layers);
  }

  /** The last use of a manifest; undefined if it is not there. */
  lastUse(digest: Digest): Date | undefined {
    const used = this.#used.get(digest);
    return used === undefined ? undefined : new Date(used);
  }

  /** All bytes of the repository that a manifest needs, some of them several times. */
  *bytes(): Generator<{ readonly digest: Digest; readonly size: number; readonly used: number }, void> {
    for (const [digest, { size, blobs }] of this.#manifests) {
      const used = this.#used.get(digest) ?? 0;
      yield { digest, size, used };
      for (const blob of blobs) if (this.#layers.has(blob.digest)) yield { ...blob, used };
    }
  }

  /** The manifests to which no tag leads, in the order of their digests. @param gone tags that do not count */
  untagged(gone: ReadonlySet<Tag>): readonly UntaggedManifest[] {
    const tags = this.#tags.filter(({ tag }) => !gone.has(tag));
    const tagged = this.#spread(tags.map(({ digest, used }) => [digest, used] as const));
    return [...this.#manifests]
      .filter(([digest]) => !tagged.has(digest))
      .map(([digest, { pushed, used }]) => ({
        digest,
        pushed,
        used: this.lastUse(digest) ?? new Date(used),
      }));
  }

  #lead(from: Digest, to: Digest): void {
    if (!this.#manifests.has(from) || !this.#manifests.has(to)) return;
    const known = this.#leads.get(from);
    if (known === undefined) this.#leads.set(from, [to]);
    else known.push(to);
  }

  /** Everything that some manifests lead to, with the use of the first that does. */
  #spread(roots: readonly (readonly [Digest, number])[]): Map<Digest, number> {
    const used = new Map<Digest, number>();
    for (const [root, at] of roots)
      for (const left = [root]; left.length > 0;) {
        const digest = left.pop();
        if (digest === undefined || used.has(digest) || !this.#manifests.has(digest)) continue;
        used.set(digest, at);
        left.push(...(this.#leads.get(digest) ?? []));
      }
    return used;
  }
}

/** What is damaged has its own bytes at most, which are not worth a request. */
async function readContent(store: ObjectStore, digest: Digest): Promise<Content> {
  const key = blobData(digest);
  const bytes = await undefinedIfDamaged(store, key, loadManifest(store, digest));
  const needs =
    bytes &&
    (await undefinedIfDamaged(
      store,
      key,
      Promise.try(() => readNeeds(bytes)),
    ));
  const children = needs?.children ?? [];
  return {
    size: bytes?.length ?? 0,
    // An entry of an index may be a blob, as in BuildKit's caches.
    blobs: [...(needs?.blobs ?? []), ...children].map((blob) => ({
      digest: blob.digest,
      size: blob.size ?? 0,
    })),
    children: children.map((child) => child.digest),
    subject: needs?.subject,
  };
}
