import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import {
  readNeeds,
  type ManifestNeeds,
  type NeededChild,
  type NeededObject,
} from '../../protocol/manifest-needs.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { readReferrer } from '../../protocol/referrers.ts';
import { layerLink, revisionLink } from '../../registry/layout.ts';
import { exists } from '../../registry/links.ts';
import { loadManifest } from '../../registry/manifests/cache.ts';
import { isRequired } from '../../registry/manifests/required-platforms.ts';
import {
  damagedManifest,
  missingBlob,
  missingChild,
  missingLayerLink,
  missingManifest,
  wrongSize,
  type Finding,
} from './findings.ts';
import { unlessUnreadable, type Inspection, type Suspect } from './inspection.ts';
import { damage, orDamage } from './links.ts';
import { noBytes, type Entry, type Listed } from './listed.ts';
import type { ReferrerChecks } from './referrers.ts';

/** Manifests in memory: nearly all have some kilobytes, and the largest has 16 MB. */
const parallelManifests = 8;

/** Children of indexes that are kept until all manifests are listed. Others are looked up. */
const maxChildren = 100_000;

/** Blobs that are not suspected again for another manifest, and missing ones that are not reported as dangling links. */
const maxRemembered = 100_000;

interface Child {
  readonly index: Entry<'revision'>;
  readonly child: NeededChild;
}

/** Checks the manifests of one repository, and whether it has what they need. */
export class ManifestChecks {
  readonly #inspection: Inspection;
  readonly #name: RepositoryName;
  readonly #listed: Listed;
  readonly #referrers: ReferrerChecks;
  /** Whether what manifests name comes when it is first pulled. */
  readonly #isCache: boolean;
  #children: Child[] = [];
  readonly #suspected = new Set<Digest>();
  readonly #missing = new Set<Digest>();

  constructor(inspection: Inspection, name: RepositoryName, listed: Listed, referrers: ReferrerChecks) {
    this.#inspection = inspection;
    this.#name = name;
    this.#listed = listed;
    this.#referrers = referrers;
    this.#isCache = inspection.options.isCache?.(name) ?? false;
  }

  async check(entries: readonly Entry<'revision'>[]): Promise<Suspect[]> {
    for (const { digest } of entries) this.#listed.revisions.append(digest, 0);
    const suspects = await inParallel(
      entries,
      parallelManifests,
      async (entry) => await unlessUnreadable(entry.object, async () => await this.#check(entry)),
    );
    return [...suspects.flat(), ...(this.#children.length > maxChildren ? this.end() : [])];
  }

  /** The children that seem to be missing. After the last manifest of the listing. */
  end(): Suspect[] {
    const children = this.#children;
    this.#children = [];
    return children
      .filter(({ child }) => !this.#isListed(child))
      .map(({ index, child }) => ({
        named: index.object,
        look: async () => await this.#lookAtChild(index.digest, child),
      }));
  }

  /** Whether a blob's bytes are missing, and a manifest needs them. */
  needsMissing(digest: Digest): boolean {
    return this.#missing.has(digest);
  }

  async #check(entry: Entry<'revision'>): Promise<Suspect[]> {
    const { object, digest } = entry;
    this.#inspection.counts.manifests += 1;
    const read = await this.#read(digest);
    if ('finding' in read) return [{ named: object, look: async () => await this.#lookAtManifest(digest) }];
    const { needs, bytes } = read;
    const required = needs.children.filter((child) => this.#isRequired(child));
    this.#children.push(...required.map((child) => ({ index: entry, child })));
    const referrer = needs.subject === undefined ? undefined : readReferrer(bytes, digest);
    return [
      ...this.#blobs(entry, needs),
      ...(referrer === undefined ? [] : await this.#referrers.missing(object, referrer)),
    ];
  }

  /** What a manifest needs, or why that is unknown. */
  async #read(digest: Digest): Promise<{ needs: ManifestNeeds; bytes: Buffer } | { finding: Finding }> {
    const { store } = this.#inspection;
    const bytes = await orDamage(async () => await loadManifest(store, digest));
    if (bytes === undefined) return { finding: missingManifest(this.#name, digest) };
    if (bytes === damage)
      return { finding: damagedManifest(this.#name, digest, 'its bytes do not have this digest') };
    const needs = await orDamage(() => Promise.resolve(readNeeds(bytes)));
    return needs === damage
      ? { finding: damagedManifest(this.#name, digest, 'cannot be read as one') }
      : { needs, bytes };
  }

  async #lookAtManifest(digest: Digest): Promise<Finding | undefined> {
    const read = await this.#read(digest);
    if (!('finding' in read) || !(await this.#isLinked(digest))) return undefined;
    this.#inspection.isManifest(digest);
    return read.finding;
  }

  #isRequired({ platform, isElsewhere }: NeededChild): boolean {
    if (isElsewhere || this.#isCache) return false;
    return isRequired({ platform }, this.#inspection.options.requiredPlatforms ?? 'all');
  }

  /** The blobs of a manifest that seem to be missing, or to have another size than it says. */
  #blobs({ object, digest: manifest }: Entry<'revision'>, { blobs }: ManifestNeeds): Suspect[] {
    return blobs
      .filter((blob) => !blob.isElsewhere && this.#seemsWrong(blob))
      .map((blob) => ({ named: object, look: async () => await this.#lookAtBlob(manifest, blob) }));
  }

  /** Once for each blob. */
  #seemsWrong({ digest, size }: NeededObject): boolean {
    const listed = this.#listed.layers.get(digest);
    if (this.#isCache && listed === undefined) return false;
    const isRight = listed !== undefined && listed !== noBytes && (size ?? listed) === listed;
    if (isRight || this.#suspected.has(digest)) return false;
    if (this.#suspected.size < maxRemembered) this.#suspected.add(digest);
    return true;
  }

  async #lookAtBlob(manifest: Digest, { digest, size: named }: NeededObject): Promise<Finding | undefined> {
    const { store } = this.#inspection;
    const [actual, hasLink] = await Promise.all([
      this.#inspection.askBlobSize(digest),
      exists(store, layerLink(this.#name, digest)),
    ]);
    const isWhole = actual !== undefined && hasLink && (named ?? actual) === actual;
    if (isWhole || !(await this.#isLinked(manifest))) return undefined;
    if (actual === undefined) {
      if (this.#missing.size < maxRemembered) this.#missing.add(digest);
      return missingBlob(this.#name, digest, manifest);
    }
    if (!hasLink) return missingLayerLink(this.#name, digest, manifest);
    if (named === undefined || this.#inspection.isDamaged(digest)) return undefined;
    return wrongSize(this.#name, digest, { by: manifest, named, actual });
  }

  #isListed({ digest, isManifest }: NeededChild): boolean {
    const layer = isManifest ? undefined : this.#listed.layers.get(digest);
    return this.#listed.revisions.get(digest) !== undefined || (layer ?? noBytes) !== noBytes;
  }

  async #lookAtChild(index: Digest, { digest, isManifest }: NeededChild): Promise<Finding | undefined> {
    const { store } = this.#inspection;
    if (await this.#isLinked(digest)) return undefined;
    const isBlob =
      !isManifest &&
      (await exists(store, layerLink(this.#name, digest))) &&
      (await this.#inspection.askBlobSize(digest)) !== undefined;
    return isBlob || !(await this.#isLinked(index)) ? undefined : missingChild(this.#name, digest, index);
  }

  async #isLinked(digest: Digest): Promise<boolean> {
    return await exists(this.#inspection.store, revisionLink(this.#name, digest));
  }
}
