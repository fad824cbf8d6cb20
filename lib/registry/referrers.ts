import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import {
  readIndexed,
  readReferrer,
  referrersTag,
  type Referrer,
  type ReferrerDescriptor,
} from '../protocol/referrers.ts';
import type { ObjectInfo, ObjectStore } from '../storage/store.ts';
import {
  parseReferrerKey,
  parseRevisionLink,
  referrerKey,
  referrersPrefix,
  referrersScan,
  revisionLink,
  revisionsPrefix,
  subjectPrefix,
} from './layout.ts';
import { exists, orUndefined } from './links.ts';
import { loadManifest, maxStoredSize } from './manifest-cache.ts';
import type { Tags } from './tags.ts';

/** Manifests or entries read at once. Each may have megabytes, and has some hundred bytes. */
const parallelReads = 16;

/** Bytes of the descriptors of a page, but for a single one that has more: what a function may answer. */
const maxPageBytes = 4 * 1024 * 1024;

/** Entries that one request looks at: with a filter, few of them may be on its page. */
const maxScanned = 2000;

/** Milliseconds before a scan in which others may have written by another clock, or seen too late in a lagging list. */
const slack = 15 * 60_000;

export interface ReferrersPage {
  readonly descriptors: readonly ReferrerDescriptor[];
  /** After which entry the next page begins; undefined when there is none. */
  readonly next: Digest | undefined;
}

/** What a repair has changed. */
export interface Repaired {
  readonly added: number;
  readonly removed: number;
}

/** How far the manifests of a repository were looked at. */
interface Scan {
  /** When the last complete scan began, in milliseconds since 1970; undefined before there was one. */
  readonly at: number | undefined;
  /** The key after which the one that is under way goes on; undefined when none is. */
  readonly after: string | undefined;
}

/**
 * The manifests about others (OCI Distribution Spec, "Listing Referrers"): an object for each, so that any number may be
 * pushed at once. An entry counts while the repository has the manifest; nothing need be deleted with that.
 *
 * Manifests that another registry took have no entry. They are looked for at a repository's first query, by the tags that
 * clients kept the list at, and in {@link repair}.
 */
export class Referrers {
  readonly #store: ObjectStore;
  readonly #tags: Tags;

  constructor(store: ObjectStore, tags: Tags) {
    this.#store = store;
    this.#tags = tags;
  }

  /**
   * Notes a referrer. Its manifest is linked already: {@link repair} takes away what is not, and puts back what is linked
   * when it looks once more.
   */
  async add(name: RepositoryName, { subject, descriptor }: Referrer): Promise<void> {
    await this.#store.put(
      referrerKey(name, subject, descriptor.digest),
      Buffer.from(JSON.stringify(descriptor)),
    );
  }

  /**
   * A page of the referrers of a manifest, which need not exist, in the order of their digests (end-12).
   * @param page `last` is a digest
   * @param artifactType which all on the page have, if given
   */
  async list(
    name: RepositoryName,
    subject: Digest,
    { n, last }: { readonly n: Page['n']; readonly last: Digest | undefined },
    artifactType: string | undefined,
  ): Promise<ReferrersPage> {
    if (n === 0) return { descriptors: [], next: undefined };
    if (last === undefined) await Promise.all([this.#assureScan(name), this.#addTagged(name, subject)]);
    const descriptors: ReferrerDescriptor[] = [];
    let [bytes, scanned, next] = [0, 0, last];
    for await (const some of batches(
      this.#objects(subjectPrefix(name, subject), next && referrerKey(name, subject, next)),
    )) {
      const entries = await Promise.all(some.map(async (entry) => await this.#read(name, entry)));
      for (const { descriptor, referrer, size } of entries) {
        if (scanned === maxScanned) return { descriptors, next };
        const fits =
          descriptor !== undefined && (artifactType ?? descriptor.artifactType) === descriptor.artifactType;
        const isFull = descriptors.length === n || (descriptors.length > 0 && bytes + size > maxPageBytes);
        if (fits && isFull) return { descriptors, next };
        if (fits) {
          descriptors.push(descriptor);
          bytes += size;
        }
        next = referrer;
        scanned += 1;
      }
    }
    return { descriptors, next: undefined };
  }

  /**
   * Puts a repository's index right: adds manifests that others have pushed since they were last looked for, and takes away
   * entries whose manifests are gone. Does nothing where nobody has asked yet, as the first query does it then.
   * @param full whether all manifests are read again
   * @returns undefined where there is no index
   */
  async repair(name: RepositoryName, full = false): Promise<Repaired | undefined> {
    const scan = await this.#scanned(name);
    if (scan === undefined) return undefined;
    const before = await this.#entries(name);
    const added = await this.#scan(
      name,
      full ? { at: undefined, after: undefined } : { ...scan, after: undefined },
    );
    const stale: string[] = [];
    const linked = new Set<Digest>();
    for await (const { key } of this.#objects(revisionsPrefix(name))) {
      const digest = parseRevisionLink(name, key);
      if (digest !== undefined) linked.add(digest);
    }
    for (const key of before) {
      const entry = parseReferrerKey(name, key);
      if (entry !== undefined && !linked.has(entry.referrer)) stale.push(key);
    }
    if (stale.length > 0) await this.#remove(name, stale);
    return { added, removed: stale.length };
  }

  /** A push may have linked a manifest after it was looked for, and written its entry before that was deleted. */
  async #remove(name: RepositoryName, keys: readonly string[]): Promise<void> {
    await this.#store.delete(keys);
    const referrers = keys.flatMap((key) => parseReferrerKey(name, key)?.referrer ?? []);
    for (const some of slices(referrers))
      await Promise.all(
        some.map(async (digest) => {
          await this.#addFrom(name, digest);
        }),
      );
  }

  async #entries(name: RepositoryName): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.#objects(referrersPrefix(name))) keys.push(key);
    return keys;
  }

  /** An entry, unless its manifest is gone. */
  async #read(
    name: RepositoryName,
    { key, size }: ObjectInfo,
  ): Promise<{ descriptor: ReferrerDescriptor | undefined; referrer: Digest | undefined; size: number }> {
    const referrer = parseReferrerKey(name, key)?.referrer;
    if (referrer === undefined) return { descriptor: undefined, referrer, size };
    const [isLinked, object] = await Promise.all([
      exists(this.#store, revisionLink(name, referrer)),
      orUndefined(this.#store.read(key, 2 * maxStoredSize)),
    ]);
    const descriptor =
      isLinked && object !== undefined
        ? (JSON.parse(object.bytes.toString('utf8')) as ReferrerDescriptor)
        : undefined;
    return { descriptor, referrer, size };
  }

  /** Looks once at the manifests that were there before anybody asked. */
  async #assureScan(name: RepositoryName): Promise<void> {
    const scan = await this.#scanned(name);
    if (scan?.at === undefined) await this.#scan(name, scan ?? { at: undefined, after: undefined });
  }

  /** @returns undefined where there is no index yet */
  async #scanned(name: RepositoryName): Promise<Scan | undefined> {
    const object = await orUndefined(this.#store.read(referrersScan(name), 4096));
    if (object === undefined) return undefined;
    try {
      const { at, after } = JSON.parse(object.bytes.toString('utf8')) as { at?: unknown; after?: unknown };
      return {
        at: typeof at === 'number' ? at : undefined,
        after: typeof after === 'string' ? after : undefined,
      };
    } catch {
      return { at: undefined, after: undefined };
    }
  }

  /**
   * Reads the manifests that were linked since the last scan, and notes how far it is after each thousand: a function that has
   * too little time for all goes on at the next query.
   * @returns how many entries were missing
   */
  async #scan(name: RepositoryName, { at, after }: Scan): Promise<number> {
    const began = Date.now();
    const save = async (scan: Scan) => {
      await this.#store.put(referrersScan(name), Buffer.from(JSON.stringify(scan)));
    };
    let [added, found] = [0, 0];
    for await (const some of batches(this.#objects(revisionsPrefix(name), after))) {
      const fresh = some.filter(
        ({ lastModified }) => at === undefined || lastModified.getTime() > at - slack,
      );
      const digests = fresh.flatMap(({ key }) => parseRevisionLink(name, key) ?? []);
      added += (await Promise.all(digests.map(async (digest) => await this.#addLinked(name, digest)))).filter(
        Boolean,
      ).length;
      found += some.length;
      if (found % 1000 < some.length && found >= 1000) await save({ at, after: some.at(-1)?.key });
    }
    // A repository that is not there is not made by a question about it.
    if (found > 0 || after !== undefined) await save({ at: began, after: undefined });
    return added;
  }

  /** Includes what clients note at a tag while they push to another registry on the same bucket. */
  async #addTagged(name: RepositoryName, subject: Digest): Promise<void> {
    const link = await this.#tags.resolve(name, referrersTag(subject));
    if (link === undefined || !(await exists(this.#store, revisionLink(name, link.digest)))) return;
    const index = await loadManifest(this.#store, link.digest);
    if (index === undefined) return;
    for (const some of slices(readIndexed(index)))
      await Promise.all(
        some.map(async (digest) => {
          await this.#addFrom(name, digest, subject);
        }),
      );
  }

  /**
   * Adds an entry for a manifest, if the repository has it and it is about another one.
   * @param subject which it must be about, if given
   */
  async #addFrom(name: RepositoryName, digest: Digest, subject?: Digest): Promise<void> {
    if (subject !== undefined && (await exists(this.#store, referrerKey(name, subject, digest)))) return;
    if (await exists(this.#store, revisionLink(name, digest))) await this.#addLinked(name, digest, subject);
  }

  /** Adds an entry for a manifest that the repository has. @returns whether there was none */
  async #addLinked(name: RepositoryName, digest: Digest, subject?: Digest): Promise<boolean> {
    const bytes = await loadManifest(this.#store, digest);
    const referrer = bytes && readReferrer(bytes, digest);
    if (referrer === undefined) return false;
    if (subject !== undefined && subject !== referrer.subject) return false;
    if (await exists(this.#store, referrerKey(name, referrer.subject, digest))) return false;
    await this.add(name, referrer);
    return true;
  }

  async *#objects(prefix: string, after = ''): AsyncGenerator<ObjectInfo> {
    for (let next: string | undefined = after; next !== undefined;) {
      const listing = await this.#store.list({ prefix, startAfter: next });
      yield* listing.objects;
      next = listing.next;
    }
  }
}

async function* batches(objects: AsyncIterable<ObjectInfo>): AsyncGenerator<ObjectInfo[]> {
  let batch: ObjectInfo[] = [];
  for await (const object of objects) {
    batch.push(object);
    if (batch.length < parallelReads) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function slices<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / parallelReads) }, (_, i) =>
    items.slice(i * parallelReads, (i + 1) * parallelReads),
  );
}
