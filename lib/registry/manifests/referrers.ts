import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Page } from '../../protocol/pages.ts';
import {
  readDescriptor,
  readIndexed,
  readReferrer,
  referrersTag,
  type Referrer,
  type ReferrerDescriptor,
} from '../../protocol/referrers.ts';
import { ObjectNotFound, StoreError, type ObjectInfo, type ObjectStore } from '../../storage/store.ts';
import {
  blobData,
  parseReferrerKey,
  parseRevisionLink,
  referrerKey,
  referrersPrefix,
  referrersScan,
  revisionLink,
  revisionsPrefix,
  subjectPrefix,
  tagLink,
} from '../layout.ts';
import { inParallel } from '../../concurrency/in-parallel.ts';
import type { ReferrersPage, RegistryLister, RegistryRepairer, Repaired } from '../interface.ts';
import { isDamage, undefinedIfDamaged, existsUndamaged } from '../links.ts';
import { loadManifest, maxStoredSize } from './cache.ts';
import { listObjects } from '../list-objects.ts';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import type { Tags } from '../tags.ts';
import { UnsavedReferrers, type Scan } from './unsaved-referrers.ts';

/** Concurrent reads of manifests or entries. Most have some hundred bytes, few have megabytes: see {@link maxBatchBytes}. */
const parallelReads = 16;

/** Concurrent reads of manifests that a client's list names: their size is not known beforehand. */
const parallelUnknown = 4;

/** Bytes of concurrent reads, except for a single larger one. */
const maxBatchBytes = 8 * 1024 * 1024;

/** Bytes of the descriptors of a page, except for a single larger one: a function's response has at most 6 MB of quoted text. */
const maxPageBytes = 2 * 1024 * 1024;

/** Bytes of entries after which a page ends, and of manifests after which reading a tag's list stops; checked between batches. */
const maxReadBytes = 64 * 1024 * 1024;

/** Manifests read from one list that clients keep at a tag. {@link Referrers.repair} finds the others. */
const maxTagged = 500;

/** Lists at tags that were already read, so that queries do not read them again. */
const maxCachedTags = 10_000;

/** Entries read by one request, plus at most a batch: a filter may select few of them. */
const maxEntriesRead = 2000;

/** A scan starts this long before the last one, in case clocks differ or the listing was stale. */
const rescanOverlapMs = 15 * 60_000;

/** Stores entries and the progress of a scan. */
interface IndexWriter {
  readonly entry: (name: RepositoryName, referrer: Referrer) => Promise<void>;
  readonly scan: (name: RepositoryName, scan: Scan) => Promise<void>;
}

type Roles = RegistryLister['referrers'] & RegistryRepairer['referrers'];

const unscanned: Scan = { at: undefined, after: undefined };

/**
 * The index of referrers (OCI Distribution Spec, "Listing Referrers"): an object for each, so that any number may be pushed
 * concurrently. An entry is valid while the repository has the manifest, so that deletes need not change the index.
 *
 * Manifests pushed through another registry have no entry. They are found by a scan at a repository's first query, through
 * the tags at which clients keep lists of referrers, and by {@link repair}.
 */
export class Referrers implements Roles {
  readonly #store: ObjectStore;
  readonly #tags: Tags;
  readonly #readOnly: boolean;
  /** First scans in progress: concurrent queries share one. */
  readonly #scans = new SingleFlight<RepositoryName, unknown>();
  /** By repository and subject, the list at the tag that was read last. */
  readonly #tagged = new Map<string, Digest>();
  readonly #unsaved = new UnsavedReferrers();
  /** For repairs: fails if something cannot be stored. */
  readonly #strictWriter: IndexWriter = {
    entry: async (name, referrer) => {
      await this.add(name, referrer);
    },
    scan: async (name, scan) => {
      await this.#put(referrersScan(name), scan);
    },
  };
  /** For queries: keeps in memory what cannot be stored. */
  readonly #lenientWriter: IndexWriter = {
    entry: async (name, referrer) => {
      const { subject, descriptor } = referrer;
      if (await this.#tryPut(referrerKey(name, subject, descriptor.digest), descriptor)) return;
      if (this.#unsaved.add(name, subject, descriptor.digest, descriptor.size)) return;
      const error = new Error('too many referrers cannot be stored: some are not listed');
      this.#store.onDamaged?.(referrersPrefix(name), error);
    },
    // Stored only if all results of the scan are.
    scan: async (name, scan) => {
      const isStored = !this.#unsaved.hasAny(name) && (await this.#tryPut(referrersScan(name), scan));
      if (!isStored) this.#unsaved.setScan(name, scan);
    },
  };

  /** @param readOnly whether queries store nothing */
  constructor(store: ObjectStore, tags: Tags, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#readOnly = readOnly;
    this.#store = store;
    this.#tags = tags;
  }

  /**
   * Adds an entry. Must follow the link of its manifest: {@link repair} removes entries without a link, and then checks again
   * for links that were created in the meantime.
   */
  async add(name: RepositoryName, referrer: Referrer): Promise<void> {
    await writeReferrer(this.#store, name, referrer);
  }

  async list(
    name: RepositoryName,
    subject: Digest,
    { n, last }: { readonly n: Page['n']; readonly last: Digest | undefined },
    artifactType: string | undefined,
  ): Promise<ReferrersPage> {
    if (n === 0) return { descriptors: [], next: undefined };
    if (last === undefined)
      await Promise.all([this.#ensureScanned(name), this.#addFromReferrersTag(name, subject)]);
    const descriptors: ReferrerDescriptor[] = [];
    let [bytes, read, scanned, next] = [0, 0, 0, last];
    for await (const some of batches(this.#entriesAbout(name, subject, next))) {
      if (scanned >= maxEntriesRead || read > maxReadBytes) return { descriptors, next };
      const entries = await Promise.all(some.map(async (entry) => await this.#read(name, entry)));
      for (const { descriptor, referrer, size } of entries) {
        const fits =
          descriptor !== undefined && (artifactType ?? descriptor.artifactType) === descriptor.artifactType;
        const isFull = descriptors.length === n || (descriptors.length > 0 && bytes + size > maxPageBytes);
        if (fits && isFull) return { descriptors, next };
        if (fits) {
          descriptors.push(descriptor);
          bytes += size;
        }
        next = referrer ?? next;
        scanned += 1;
        read += size;
      }
    }
    return { descriptors, next: undefined };
  }

  async repair(name: RepositoryName, full = false): Promise<Repaired | undefined> {
    const scan = await this.#scanned(name);
    if (scan === undefined) return undefined;
    const entries = listObjects(this.#store, referrersPrefix(name), { skipUnreadable: true });
    const before = await Array.fromAsync(entries, ({ key }) => key);
    const added = await this.#scan(name, { at: scan.at, after: undefined }, this.#strictWriter, full);
    const links = listObjects(this.#store, revisionsPrefix(name));
    const linked = new Set(await Array.fromAsync(links, ({ key }) => parseRevisionLink(name, key)));
    const stale = before.filter((key) => {
      const entry = parseReferrerKey(name, key);
      return entry !== undefined && !linked.has(entry.referrer);
    });
    if (stale.length > 0) await this.#remove(name, stale);
    return { added, removed: stale.length };
  }

  async #put(key: string, value: Scan | ReferrerDescriptor): Promise<void> {
    await putJson(this.#store, key, value);
  }

  /** @returns false if the registry is read-only or the store fails */
  async #tryPut(key: string, value: Scan | ReferrerDescriptor): Promise<boolean> {
    if (this.#readOnly) return false;
    try {
      await this.#put(key, value);
      return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }

  /** Stored and unsaved entries of a subject. */
  #entriesAbout(name: RepositoryName, subject: Digest, after: Digest | undefined): AsyncIterable<ObjectInfo> {
    const startAfter = after === undefined ? '' : referrerKey(name, subject, after);
    const stored = listObjects(this.#store, subjectPrefix(name, subject), {
      startAfter,
      skipUnreadable: true,
    });
    return this.#unsaved.mergedInto(stored, name, subject, startAfter);
  }

  /** Removes entries, and restores those whose manifest a concurrent push has linked since it was looked up. */
  async #remove(name: RepositoryName, keys: readonly string[]): Promise<void> {
    await this.#store.delete(keys);
    const referrers = keys.flatMap((key) => parseReferrerKey(name, key)?.referrer ?? []);
    await inParallel(
      referrers,
      parallelReads,
      async (digest) => await this.#addFrom(name, digest, this.#strictWriter),
    );
  }

  /** Reads an entry; without a descriptor if its manifest is gone. Rebuilds damaged entries. */
  async #read(
    name: RepositoryName,
    { key, size }: ObjectInfo,
  ): Promise<{ descriptor: ReferrerDescriptor | undefined; referrer: Digest | undefined; size: number }> {
    const { subject, referrer } = parseReferrerKey(name, key) ?? {};
    if (subject === undefined || referrer === undefined) return { descriptor: undefined, referrer, size };
    const [isLinked, entry] = await Promise.all([
      existsUndamaged(this.#store, revisionLink(name, referrer)),
      undefinedIfDamaged(this.#store, key, this.#store.read(key, 2 * maxStoredSize)),
    ]);
    if (!isLinked) return { descriptor: undefined, referrer, size };
    const descriptor = entry && readDescriptor(entry.bytes, referrer);
    if (descriptor !== undefined) return { descriptor, referrer, size };
    const restored = await this.#referrerIn(referrer);
    if (restored?.subject !== subject) return { descriptor: undefined, referrer, size: 0 };
    if (!this.#unsaved.has(name, subject, referrer)) await this.#lenientWriter.entry(name, restored);
    return { descriptor: restored.descriptor, referrer, size: restored.descriptor.size };
  }

  /** Completes the first scan of a repository's manifests. */
  async #ensureScanned(name: RepositoryName): Promise<void> {
    const scan = this.#unsaved.scanOf(name) ?? (await this.#scanned(name));
    if (scan?.at !== undefined) return;
    await this.#scans.run(name, async () => await this.#scan(name, scan ?? unscanned, this.#lenientWriter));
  }

  /** @returns undefined if there is no index yet */
  async #scanned(name: RepositoryName): Promise<Scan | undefined> {
    const key = referrersScan(name);
    try {
      const { bytes } = await this.#store.read(key, 4096);
      const scan = JSON.parse(bytes.toString('utf8')) as Readonly<Record<string, unknown>>;
      const { at, after, began } = scan;
      const isTime = (time: unknown): time is number => typeof time === 'number' && time <= Date.now();
      return {
        at: isTime(at) ? at : undefined,
        after: typeof after === 'string' ? after : undefined,
        began: isTime(began) ? began : undefined,
      };
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined;
      // Damaged: the scan starts again.
      if (!(error instanceof StoreError)) return unscanned;
      if (!isDamage(error)) throw error;
      this.#store.onDamaged?.(key, error);
      return unscanned;
    }
  }

  /**
   * Reads the manifests linked since the last scan, and saves its progress after each thousand: a function that times out
   * continues at the next query.
   * @param full reads all manifests
   * @returns the number of added entries
   */
  async #scan(
    name: RepositoryName,
    { at, after, began = Date.now() }: Scan,
    keep: IndexWriter,
    full = false,
  ): Promise<number> {
    const isFresh = ({ lastModified }: ObjectInfo) =>
      full || at === undefined || lastModified.getTime() > at - rescanOverlapMs;
    const options = { startAfter: after ?? '', skipUnreadable: true };
    const links = listObjects(this.#store, revisionsPrefix(name), options);
    let [added, found] = [0, 0];
    for await (const some of batches(links)) {
      const digests = some.filter(isFresh).flatMap(({ key }) => parseRevisionLink(name, key) ?? []);
      const news = await Promise.all(
        digests.map(async (digest) => await this.#addLinked(name, digest, keep)),
      );
      added += news.filter(Boolean).length;
      found += some.length;
      if (found % 1000 < some.length && found >= 1000)
        await keep.scan(name, { at, after: some.at(-1)?.key, began });
    }
    // A query must not create a repository.
    if (found > 0 || after !== undefined) await keep.scan(name, { at: began, after: undefined });
    return added;
  }

  /** Adds the list that clients keep at a tag while they push to another registry on the same bucket. */
  async #addFromReferrersTag(name: RepositoryName, subject: Digest): Promise<void> {
    const index = await this.#taggedIndex(name, subject);
    const known = `${name} ${subject}`;
    if (index === undefined || this.#tagged.get(known) === index) return;
    const bytes = await this.#manifest(index);
    const digests = bytes === undefined ? [] : [...new Set(readIndexed(bytes))].slice(0, maxTagged);
    for (let at = 0, read = 0; at < digests.length && read <= maxReadBytes; at += parallelUnknown) {
      const some = digests.slice(at, at + parallelUnknown);
      const sizes = await Promise.all(
        some.map(async (digest) => await this.#addFrom(name, digest, this.#lenientWriter, subject)),
      );
      read += sizes.reduce((sum, size) => sum + size, 0);
    }
    if (this.#tagged.size >= maxCachedTags) this.#tagged.clear();
    this.#tagged.set(known, index);
  }

  async #taggedIndex(name: RepositoryName, subject: Digest): Promise<Digest | undefined> {
    const tag = referrersTag(subject);
    const link = await undefinedIfDamaged(this.#store, tagLink(name, tag), this.#tags.resolve(name, tag));
    return link !== undefined && (await existsUndamaged(this.#store, revisionLink(name, link.digest)))
      ? link.digest
      : undefined;
  }

  /**
   * Adds an entry for a manifest, if the repository has it and it has a subject.
   * @param subject required, if given
   * @returns the size of the manifest; 0 if nothing was read
   */
  async #addFrom(name: RepositoryName, digest: Digest, keep: IndexWriter, subject?: Digest): Promise<number> {
    if (subject !== undefined && (await this.#isKnown(name, subject, digest))) return 0;
    const data = blobData(digest);
    const head = await undefinedIfDamaged(this.#store, data, this.#store.head(data));
    if (head === undefined || !(await existsUndamaged(this.#store, revisionLink(name, digest)))) return 0;
    await this.#addLinked(name, digest, keep, subject);
    return head.size;
  }

  async #isKnown(name: RepositoryName, subject: Digest, referrer: Digest): Promise<boolean> {
    if (this.#unsaved.has(name, subject, referrer)) return true;
    return await existsUndamaged(this.#store, referrerKey(name, subject, referrer));
  }

  /** Adds an entry for a manifest of the repository. @returns whether it was missing */
  async #addLinked(
    name: RepositoryName,
    digest: Digest,
    keep: IndexWriter,
    subject?: Digest,
  ): Promise<boolean> {
    const referrer = await this.#referrerIn(digest);
    if (referrer === undefined) return false;
    if (subject !== undefined && subject !== referrer.subject) return false;
    if (await this.#isKnown(name, referrer.subject, digest)) return false;
    await keep.entry(name, referrer);
    return true;
  }

  async #referrerIn(digest: Digest): Promise<Referrer | undefined> {
    const bytes = await this.#manifest(digest);
    return bytes && readReferrer(bytes, digest);
  }

  async #manifest(digest: Digest): Promise<Buffer | undefined> {
    return await undefinedIfDamaged(this.#store, blobData(digest), loadManifest(this.#store, digest));
  }
}

/** Writes an entry of the index; see {@link Referrers.add}. */
export async function writeReferrer(
  store: ObjectStore,
  name: RepositoryName,
  { subject, descriptor }: Referrer,
): Promise<void> {
  await putJson(store, referrerKey(name, subject, descriptor.digest), descriptor);
}

async function putJson(store: ObjectStore, key: string, value: Scan | ReferrerDescriptor): Promise<void> {
  await store.put(key, Buffer.from(JSON.stringify(value)));
}

async function* batches(objects: AsyncIterable<ObjectInfo>): AsyncGenerator<ObjectInfo[]> {
  let [batch, bytes]: [ObjectInfo[], number] = [[], 0];
  for await (const object of objects) {
    if (batch.length === parallelReads || (batch.length > 0 && bytes + object.size > maxBatchBytes)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(object);
    bytes += object.size;
  }
  if (batch.length > 0) yield batch;
}
