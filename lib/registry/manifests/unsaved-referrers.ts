import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { compareKeys, type ObjectInfo } from '../../storage/store.ts';
import { referrerKey } from '../layout.ts';

/** Referrers in memory, of some 200 bytes each. */
const maxUnsaved = 100_000;

/** The progress of a repository's scan. */
export interface Scan {
  /** Start of the last complete scan, in milliseconds since 1970. */
  readonly at: number | undefined;
  /** The key after which an unfinished scan continues. */
  readonly after: string | undefined;
  /** Start of the unfinished scan. */
  readonly began?: number | undefined;
}

interface UnsavedRepository {
  scan: Scan | undefined;
  /** By subject, the referrers with the sizes of their manifests. */
  readonly subjects: Map<Digest, Map<Digest, number>>;
  size: number;
}

/**
 * Discovered referrers that cannot be stored, as in a read-only bucket or on a full disk. They are kept in memory, so that reads
 * neither fail nor scan again each time. The oldest repositories are evicted first.
 */
export class UnsavedReferrers {
  readonly #repositories = new Map<RepositoryName, UnsavedRepository>();
  /** Evicted repositories, whose scan in progress has lost results. */
  readonly #evicted = new Set<RepositoryName>();
  #size = 0;

  /** @returns false if one repository has too many */
  add(name: RepositoryName, subject: Digest, referrer: Digest, bytes: number): boolean {
    const found = this.#of(name);
    const referrers = found.subjects.get(subject) ?? new Map<Digest, number>();
    if (referrers.has(referrer)) return true;
    this.#evictOthers(name);
    if (this.#size >= maxUnsaved) return false;
    found.subjects.set(subject, referrers.set(referrer, bytes));
    found.size += 1;
    this.#size += 1;
    return true;
  }

  has(name: RepositoryName, subject: Digest, referrer: Digest): boolean {
    return this.#repositories.get(name)?.subjects.get(subject)?.has(referrer) ?? false;
  }

  /** Whether a repository has unsaved results. */
  hasAny(name: RepositoryName): boolean {
    return this.#repositories.has(name);
  }

  scanOf(name: RepositoryName): Scan | undefined {
    return this.#repositories.get(name)?.scan;
  }

  setScan(name: RepositoryName, scan: Scan): void {
    this.#of(name).scan = this.#evicted.delete(name) ? undefined : scan;
  }

  /**
   * Merges stored entries of an index with unsaved ones, in key order.
   * @param after only entries after this key
   */
  async *mergedInto(
    entries: AsyncIterable<ObjectInfo>,
    name: RepositoryName,
    subject: Digest,
    after = '',
  ): AsyncGenerator<ObjectInfo, void> {
    const unsaved = [...(this.#repositories.get(name)?.subjects.get(subject) ?? [])]
      .map(([referrer, size]) => ({ key: referrerKey(name, subject, referrer), size }))
      .filter(({ key }) => compareKeys(key, after) > 0)
      .sort((a, b) => compareKeys(a.key, b.key))
      .map((entry) => ({ ...entry, lastModified: new Date(0), etag: '' }));
    for await (const entry of entries) {
      while (unsaved[0] !== undefined && compareKeys(unsaved[0].key, entry.key) < 0)
        yield* unsaved.splice(0, 1);
      if (unsaved[0]?.key === entry.key) unsaved.shift();
      yield entry;
    }
    yield* unsaved;
  }

  #of(name: RepositoryName): UnsavedRepository {
    const found = this.#repositories.get(name) ?? { scan: undefined, subjects: new Map(), size: 0 };
    this.#repositories.set(name, found);
    if (this.#repositories.size > maxUnsaved) this.#evictOthers(name, 1);
    return found;
  }

  #evictOthers(name: RepositoryName, atLeast = 0): void {
    for (const [other, { size }] of this.#repositories) {
      if (atLeast-- <= 0 && this.#size < maxUnsaved) return;
      if (other === name) continue;
      this.#repositories.delete(other);
      this.#evicted.add(other);
      if (this.#evicted.size > maxUnsaved) this.#evicted.clear();
      this.#size -= size;
    }
  }
}
