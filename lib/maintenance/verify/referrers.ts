import type { RepositoryName } from '../../protocol/names.ts';
import { readDescriptor, readReferrer, type Referrer } from '../../protocol/referrers.ts';
import { referrerKey, referrersScan, revisionLink } from '../../registry/layout.ts';
import { exists, undefinedIfMissing } from '../../registry/links.ts';
import { loadManifest, maxStoredSize } from '../../registry/manifests/cache.ts';
import type { ObjectInfo } from '../../storage/store.ts';
import { damagedReferrer, danglingReferrer, missingReferrer, type Finding } from './findings.ts';
import type { Inspection, Suspect } from './inspection.ts';
import { damage, orDamage } from './links.ts';
import type { Entry, Listed } from './listed.ts';

/** Bytes of the object with the progress of a scan. */
const maxScanSize = 4096;

/** Checks the index of referrers of one repository. */
export class ReferrerChecks {
  readonly #inspection: Inspection;
  readonly #name: RepositoryName;
  readonly #listed: Listed;
  #isScanned: Promise<boolean> | undefined;

  constructor(inspection: Inspection, name: RepositoryName, listed: Listed) {
    this.#inspection = inspection;
    this.#name = name;
    this.#listed = listed;
  }

  /** Entries of the index, each of which is read. */
  check(entries: readonly Entry<'referrer'>[]): Suspect[] {
    this.#inspection.counts.referrers += entries.length;
    return entries.map((entry) => ({ named: entry.object, look: async () => await this.#look(entry) }));
  }

  /**
   * What seems wrong if the index has no entry for a manifest. Before the first query about a repository, it need not: a scan adds
   * what is missing.
   */
  async missing(named: ObjectInfo, referrer: Referrer): Promise<Suspect[]> {
    const { store } = this.#inspection;
    const { subject, descriptor } = referrer;
    const isListed = async () => await exists(store, referrerKey(this.#name, subject, descriptor.digest));
    this.#isScanned ??= this.#scanned();
    if (!(await this.#isScanned) || (await isListed())) return [];
    const look = async () => {
      const isThere =
        (await isListed()) || !(await exists(store, revisionLink(this.#name, descriptor.digest)));
      return isThere ? undefined : missingReferrer(this.#name, referrer);
    };
    return [{ named, look }];
  }

  async #look({ object, subject, referrer }: Entry<'referrer'>): Promise<Finding | undefined> {
    const { store } = this.#inspection;
    const dangling = danglingReferrer(this.#name, subject, referrer);
    const isLinked =
      this.#listed.revisions.get(referrer) !== undefined ||
      (await exists(store, revisionLink(this.#name, referrer)));
    if (!isLinked) return (await exists(store, object.key)) ? dangling : undefined;
    const bytes = await this.#read(object.key);
    if (bytes === undefined || readDescriptor(bytes, referrer) !== undefined) return undefined;
    const manifest = await orDamage(async () => await loadManifest(store, referrer));
    // Of the manifest there is a finding already.
    if (manifest === undefined || manifest === damage) return undefined;
    const found = readReferrer(manifest, referrer);
    return found?.subject === subject ? damagedReferrer(this.#name, found) : dangling;
  }

  /** @returns no bytes if there are too many; undefined if it is gone */
  async #read(key: string): Promise<Buffer | undefined> {
    const read = await this.#object(key, 2 * maxStoredSize);
    return read === damage ? Buffer.alloc(0) : read;
  }

  /** Whether a scan has added all earlier manifests. */
  async #scanned(): Promise<boolean> {
    const bytes = await this.#object(referrersScan(this.#name), maxScanSize);
    if (bytes === undefined || bytes === damage) return false;
    try {
      const { at } = JSON.parse(bytes.toString('utf8')) as { readonly at?: unknown };
      return typeof at === 'number';
    } catch {
      return false;
    }
  }

  async #object(key: string, limit: number): Promise<Buffer | undefined | typeof damage> {
    const { store } = this.#inspection;
    return await orDamage(async () => (await undefinedIfMissing(store.read(key, limit)))?.bytes);
  }
}
