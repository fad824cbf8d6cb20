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

/** Manifests or entries read at once. Most have some hundred bytes, few have megabytes: see {@link maxBatchBytes}. */
const parallelReads = 16;

/** The same of manifests that a client's list names: how large they are is not known before. */
const parallelUnknown = 4;

/** Bytes of entries or manifests read at once, but for a single one that has more. */
const maxBatchBytes = 8 * 1024 * 1024;

/** Bytes of the descriptors of a page, but for a single one that has more: a function answers with 6 MB of quoted text. */
const maxPageBytes = 2 * 1024 * 1024;

/** Bytes of entries after which a page ends, and of manifests after which a list at a tag is left; looked at between batches. */
const maxReadBytes = 64 * 1024 * 1024;

/** Manifests looked at of one list that clients keep at a tag. {@link Referrers.repair} finds the others. */
const maxTagged = 500;

/** Lists at tags that were looked at, so that this is not done at each query. */
const maxCachedTags = 10_000;

/** Entries that one request looks at, and a batch more: with a filter, few of them may be on its page. */
const maxEntriesRead = 2000;

/** Milliseconds before the last scan from which manifests are looked at again: their clock may be another, the list may lag. */
const rescanOverlapMs = 15 * 60_000;

/** What keeps an entry, and how far manifests were looked at. */
interface IndexWriter {
  readonly entry: (name: RepositoryName, referrer: Referrer) => Promise<void>;
  readonly scan: (name: RepositoryName, scan: Scan) => Promise<void>;
}

type Roles = RegistryLister['referrers'] & RegistryRepairer['referrers'];

const unscanned: Scan = { at: undefined, after: undefined };

/**
 * The manifests about others (OCI Distribution Spec, "Listing Referrers"): an object for each, so that any number may be
 * pushed at once. An entry counts while the repository has the manifest; nothing need be deleted with that.
 *
 * Manifests that another registry took have no entry. They are looked for at a repository's first query, by the tags that
 * clients kept the list at, and in {@link repair}.
 */
export class Referrers implements Roles {
  readonly #store: ObjectStore;
  readonly #tags: Tags;
  readonly #readOnly: boolean;
  /** First scans under way: many queries at once share one. */
  readonly #scans = new SingleFlight<RepositoryName, unknown>();
  /** By repository and subject, the list at the tag that was looked at last. */
  readonly #tagged = new Map<string, Digest>();
  readonly #unsaved = new UnsavedReferrers();
  /** What fails where it cannot be stored. */
  readonly #strictWriter: IndexWriter = {
    entry: async (name, referrer) => {
      await this.add(name, referrer);
    },
    scan: async (name, scan) => {
      await this.#store.put(referrersScan(name), Buffer.from(JSON.stringify(scan)));
    },
  };
  /** What a query keeps: it does not fail where that cannot be stored. */
  readonly #lenientWriter: IndexWriter = {
    entry: async (name, referrer) => {
      if (
        !(await this.#isStored(async () => {
          await this.#strictWriter.entry(name, referrer);
        }))
      )
        this.#remember(name, referrer);
    },
    // Stored only where all that was found is.
    scan: async (name, scan) => {
      const isStored =
        !this.#unsaved.hasAny(name) &&
        (await this.#isStored(async () => {
          await this.#strictWriter.scan(name, scan);
        }));
      if (!isStored) this.#unsaved.setScan(name, scan);
    },
  };

  /** @param readOnly whether a query stores nothing of what it finds */
  constructor(store: ObjectStore, tags: Tags, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#readOnly = readOnly;
    this.#store = store;
    this.#tags = tags;
  }

  /**
   * Notes a referrer. To be called once its manifest is linked: {@link repair} takes away entries without a link, and then
   * looks again for a link that was made meanwhile.
   */
  async add(name: RepositoryName, { subject, descriptor }: Referrer): Promise<void> {
    await this.#store.put(
      referrerKey(name, subject, descriptor.digest),
      Buffer.from(JSON.stringify(descriptor)),
    );
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
    const before = await this.#entries(name);
    const added = await this.#scan(name, { at: scan.at, after: undefined }, this.#strictWriter, full);
    const stale: string[] = [];
    const linked = new Set<Digest>();
    for await (const { key } of listObjects(this.#store, revisionsPrefix(name))) {
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

  async #isStored(store: () => Promise<void>): Promise<boolean> {
    if (this.#readOnly) return false;
    try {
      await store();
      return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }

  #remember(name: RepositoryName, { subject, descriptor: { digest, size } }: Referrer): void {
    if (this.#unsaved.add(name, subject, digest, size)) return;
    const error = new Error('there are too many referrers that cannot be stored: some are not shown');
    this.#store.onDamaged?.(referrersPrefix(name), error);
  }

  /** What there is about a manifest, after one of it, where that is given. */
  #entriesAbout(name: RepositoryName, subject: Digest, after: Digest | undefined): AsyncIterable<ObjectInfo> {
    const startAfter = after === undefined ? '' : referrerKey(name, subject, after);
    const stored = listObjects(this.#store, subjectPrefix(name, subject), {
      startAfter,
      skipUnreadable: true,
    });
    return this.#unsaved.mergedInto(stored, name, subject, startAfter);
  }

  /**
   * Takes entries away, and adds again those whose manifest was linked after it was looked for: a push may have come between.
   */
  async #remove(name: RepositoryName, keys: readonly string[]): Promise<void> {
    await this.#store.delete(keys);
    const referrers = keys.flatMap((key) => parseReferrerKey(name, key)?.referrer ?? []);
    await inParallel(
      referrers,
      parallelReads,
      async (digest) => await this.#addFrom(name, digest, this.#strictWriter),
    );
  }

  async #entries(name: RepositoryName): Promise<string[]> {
    const below = listObjects(this.#store, referrersPrefix(name), { skipUnreadable: true });
    return await Array.fromAsync(below, ({ key }) => key);
  }

  /** An entry, unless its manifest is gone. One that is damaged is made anew. */
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
    const restored = await this.#restored(name, subject, referrer);
    return { descriptor: restored, referrer, size: restored?.size ?? 0 };
  }

  async #restored(
    name: RepositoryName,
    subject: Digest,
    digest: Digest,
  ): Promise<ReferrerDescriptor | undefined> {
    const referrer = await this.#referrerIn(digest);
    if (referrer?.subject !== subject) return undefined;
    if (!this.#unsaved.has(name, subject, digest)) await this.#lenientWriter.entry(name, referrer);
    return referrer.descriptor;
  }

  /** Looks once at the manifests that were there before anybody asked. */
  async #ensureScanned(name: RepositoryName): Promise<void> {
    const scan = this.#unsaved.scanOf(name) ?? (await this.#scanned(name));
    if (scan?.at !== undefined) return;
    await this.#scans.run(name, async () => await this.#scan(name, scan ?? unscanned, this.#lenientWriter));
  }

  /** @returns undefined where there is no index yet */
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
      // Damaged: it begins anew.
      if (!(error instanceof StoreError)) return unscanned;
      if (!isDamage(error)) throw error;
      this.#store.onDamaged?.(key, error);
      return unscanned;
    }
  }

  /**
   * Reads the manifests that were linked since the last scan, and notes how far it is after each thousand: a function that has
   * too little time for all goes on at the next query.
   * @param full whether it reads all
   * @returns how many entries were missing
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
    // A repository that is not there is not made by a question about it.
    if (found > 0 || after !== undefined) await keep.scan(name, { at: began, after: undefined });
    return added;
  }

  /** Includes what clients note at a tag while they push to another registry on the same bucket. */
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
   * Adds an entry for a manifest, if the repository has it and it is about another one.
   * @param subject which it must be about, if given
   * @returns the bytes of the manifest; 0 where there was nothing to read
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

  /** Adds an entry for a manifest that the repository has. @returns whether there was none */
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
