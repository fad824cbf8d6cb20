import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { compareKeys, type ObjectInfo } from '../../storage/store.ts';
import { referrerKey } from '../layout.ts';

/** Referrers in all, of some 200 bytes each. */
const maxUnsaved = 100_000;

/** How far the manifests of a repository were looked at. */
export interface Scan {
  /** When the last complete scan began, in milliseconds since 1970; undefined before there was one. */
  readonly at: number | undefined;
  /** The key after which the one that is under way goes on; undefined when none is. */
  readonly after: string | undefined;
  /** When that began. */
  readonly began?: number | undefined;
}

interface UnsavedRepository {
  scan: Scan | undefined;
  /** By subject, the referrers and the bytes of their manifests. */
  readonly subjects: Map<Digest, Map<Digest, number>>;
  size: number;
}

/**
 * What was found out about referrers and cannot be stored, as in a read-only bucket or on a full disk: a read does not fail
 * for that, nor is everything looked at again at each. In memory, where the repositories looked at first are forgotten first.
 */
export class UnsavedReferrers {
  readonly #repositories = new Map<RepositoryName, UnsavedRepository>();
  /** Of which a scan that is under way has lost what it found. */
  readonly #forgotten = new Set<RepositoryName>();
  #size = 0;

  /** @returns false where there are too many of one repository */
  add(name: RepositoryName, subject: Digest, referrer: Digest, bytes: number): boolean {
    const found = this.#of(name);
    const referrers = found.subjects.get(subject) ?? new Map<Digest, number>();
    if (referrers.has(referrer)) return true;
    this.#forgetOthers(name);
    if (this.#size >= maxUnsaved) return false;
    found.subjects.set(subject, referrers.set(referrer, bytes));
    found.size += 1;
    this.#size += 1;
    return true;
  }

  has(name: RepositoryName, subject: Digest, referrer: Digest): boolean {
    return this.#repositories.get(name)?.subjects.get(subject)?.has(referrer) ?? false;
  }

  /** Whether anything of a repository could not be stored. */
  hasAny(name: RepositoryName): boolean {
    return this.#repositories.has(name);
  }

  scanOf(name: RepositoryName): Scan | undefined {
    return this.#repositories.get(name)?.scan;
  }

  setScan(name: RepositoryName, scan: Scan): void {
    this.#of(name).scan = this.#forgotten.delete(name) ? undefined : scan;
  }

  /**
   * Entries of an index with those that are not stored in it, in the order of their keys.
   * @param after only those after this key
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
    if (this.#repositories.size > maxUnsaved) this.#forgetOthers(name, 1);
    return found;
  }

  #forgetOthers(name: RepositoryName, atLeast = 0): void {
    for (const [other, { size }] of this.#repositories) {
      if (atLeast-- <= 0 && this.#size < maxUnsaved) return;
      if (other === name) continue;
      this.#repositories.delete(other);
      this.#forgotten.add(other);
      if (this.#forgotten.size > maxUnsaved) this.#forgotten.clear();
      this.#size -= size;
    }
  }
}
