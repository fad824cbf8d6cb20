import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { Collections } from '../collection/collections.ts';
import type { CollectionView } from '../collection/views.ts';
import { blobData, revisionLink, revisionsPrefix, tagIndexLink, tagsPrefix } from '../layout.ts';
import { exists, linkObject, undefinedIfDamaged } from '../links.ts';
import { listObjects } from '../list-objects.ts';
import { digestOfLink, parseRepositoryKey, type RepositoryKey } from '../repository-keys.ts';
import { linkOfPart, partsOf } from './content.ts';
import { seeTag } from './point-tag.ts';
import type { DeletedKind, DeletedObject, RepositoryRecords } from './repository-records.ts';
import { rescueImage } from './rescue-image.ts';
import { rescueLinks, writeBack } from './write-back.ts';

/** Tags and manifests that are looked at together. */
const batchSize = 100;

/** Concurrent looks at them. Each has concurrent looks of its own. */
const parallelLooks = 4;

/** What was pushed to a repository during its delete. */
export interface PushedMeanwhile {
  readonly tags: number;
  readonly manifests: number;
}

/** A tag or manifest that was pushed. */
interface Pushed {
  readonly isTag: boolean;
  /** Its manifest and those in it, which may be referrers. */
  readonly manifests: readonly Digest[];
  /** Keys of the links that it needs, whose bytes are there. */
  readonly missing: readonly string[];
}

/**
 * Completes what was pushed to a repository during its delete: a push may have checked its layers before they went, and moved its tag
 * after that. Brings back the links that it needs, as far as the delete took them.
 */
export async function completePushes(
  store: ObjectStore,
  name: RepositoryName,
  records: RepositoryRecords,
): Promise<PushedMeanwhile> {
  const completion = new Completion(store, name, records);
  for (const prefix of [tagsPrefix(name), revisionsPrefix(name)]) await completion.run(prefix);
  const { tags, manifests } = completion;
  return { tags, manifests };
}

class Completion {
  tags = 0;
  manifests = 0;
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  readonly #records: RepositoryRecords;
  readonly #collections: Collections;

  constructor(store: ObjectStore, name: RepositoryName, records: RepositoryRecords) {
    this.#store = store;
    this.#name = name;
    this.#records = records;
    this.#collections = new Collections(store);
  }

  async run(prefix: string): Promise<void> {
    let batch: RepositoryKey[] = [];
    for await (const { key } of listObjects(this.#store, prefix)) {
      const parsed = parseRepositoryKey(key);
      if (parsed?.kind === 'tag' || parsed?.kind === 'revision') batch.push(parsed);
      if (batch.length < batchSize) continue;
      await this.#complete(batch);
      batch = [];
    }
    if (batch.length > 0) await this.#complete(batch);
  }

  async #complete(pushed: readonly RepositoryKey[]): Promise<void> {
    // What is written back is a commit, under the rules of a writer (docs/garbage-collection.md).
    const found = await this.#collections.commit(async (view) => {
      const looked = await inParallel(pushed, parallelLooks, async (key) => await this.#look(view, key));
      const roots = looked.filter((root) => root !== undefined);
      await this.#writeBack(view, roots);
      return roots;
    });
    this.tags += found.filter(({ isTag }) => isTag).length;
    this.manifests += found.filter(({ isTag }) => !isTag).length;
  }

  /** Asks for it again, since lists of some stores lag. @returns undefined if it is gone */
  async #look(view: CollectionView, key: RepositoryKey): Promise<Pushed | undefined> {
    if (key.kind === 'revision') {
      const isThere = await exists(this.#store, revisionLink(this.#name, key.digest));
      return isThere ? { isTag: false, ...(await this.#needs(view, key.digest)) } : undefined;
    }
    if (key.kind !== 'tag') return undefined;
    const seen = await seeTag(this.#store, this.#name, key.tag);
    if (typeof seen === 'string') return undefined;
    const entry = tagIndexLink(this.#name, key.tag, seen.digest);
    if (!(await exists(this.#store, entry)))
      await writeBack(this.#store, view, [linkObject(entry, seen.digest)]);
    return { isTag: true, ...(await this.#needs(view, seen.digest)) };
  }

  async #needs(view: CollectionView, root: Digest): Promise<Omit<Pushed, 'isTag'>> {
    const looked = partsOf(this.#store, this.#name, root);
    const parts = (await undefinedIfDamaged(this.#store, blobData(root), looked)) ?? [];
    const missing = parts.filter(({ isLinked, hasBytes }) => !isLinked && hasBytes);
    // The link of a manifest needs all that the manifest needs.
    if (missing.length > 0) await rescueImage(this.#store, this.#collections, view, this.#name, root);
    return {
      manifests: parts.filter(({ kind }) => kind === 'manifest').map(({ digest }) => digest),
      missing: missing.map((part) => linkOfPart(this.#name, part)),
    };
  }

  async #writeBack(view: CollectionView, pushed: readonly Pushed[]): Promise<void> {
    const missing = new Set(pushed.flatMap((one) => one.missing));
    const manifests = new Set(pushed.flatMap((one) => one.manifests));
    if (missing.size > 0)
      for (const kind of ['layers', 'manifests'] as const)
        await this.#writeBackOf(view, kind, ({ key }) => missing.has(key));
    if (manifests.size > 0)
      await this.#writeBackOf(view, 'referrers', ({ key }) => {
        const parsed = parseRepositoryKey(key);
        return parsed?.kind === 'referrer' && manifests.has(parsed.referrer);
      });
  }

  /** Writes what the delete took and is missing. */
  async #writeBackOf(
    view: CollectionView,
    kind: DeletedKind,
    isNeeded: (object: DeletedObject) => boolean,
  ): Promise<void> {
    for (const record of await this.#records.last())
      for await (const objects of this.#records.parts(record, kind)) {
        const needed = objects.filter(isNeeded);
        const isThere = await inParallel(
          needed,
          batchSize,
          async ({ key }) => await exists(this.#store, key),
        );
        const absent = needed.filter((_, i) => isThere[i] === false);
        const keys = absent.map(({ key }) => key);
        const gone = await rescueLinks(this.#store, this.#collections, view, this.#name, keys);
        const whole = absent.filter(({ key }) => !gone.has(digestOfLink(key)));
        await writeBack(this.#store, view, whole);
      }
  }
}
