import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import { revisionLink, tagIndexLink, tagLink } from '../../registry/layout.ts';
import { exists, showsDigest } from '../../registry/links.ts';
import { damagedTag, danglingTag, missingTagIndex, type Finding } from './findings.ts';
import type { Inspection, Suspect } from './inspection.ts';
import { target } from './links.ts';
import type { Entry, Listed } from './listed.ts';

/** Checks the tags of one repository, after its manifests are listed. */
export class TagChecks {
  readonly #inspection: Inspection;
  readonly #name: RepositoryName;
  readonly #listed: Listed;
  /** The last tag of the listing, whose index may follow. */
  #tag: Entry<'tag'> | undefined;
  /** What it points at, if its index has that, and its ETag shows it: then its link need not be read. */
  #target: Digest | undefined;

  constructor(inspection: Inspection, name: RepositoryName, listed: Listed) {
    this.#inspection = inspection;
    this.#name = name;
    this.#listed = listed;
  }

  /** Takes the next key. @returns what seems wrong with the tag before it */
  take(entry: Entry<'tag'> | Entry<'tag index'>): Suspect[] {
    if (entry.kind === 'tag index') {
      const tag = this.#tag;
      if (tag?.tag === entry.tag && showsDigest(tag.object, entry.digest)) this.#target = entry.digest;
      return [];
    }
    const suspects = this.end();
    this.#tag = entry;
    this.#inspection.counts.tags += 1;
    return suspects;
  }

  /** After the last key. */
  end(): Suspect[] {
    const [tag, found] = [this.#tag, this.#target];
    [this.#tag, this.#target] = [undefined, undefined];
    if (tag === undefined || (found !== undefined && this.#hasManifest(found))) return [];
    return [{ named: tag.object, look: async () => await this.#look(tag.tag) }];
  }

  async #look(tag: Tag): Promise<Finding | undefined> {
    const { store } = this.#inspection;
    const digest = await target(store, tagLink(this.#name, tag));
    if (digest === 'gone') return undefined;
    if (digest === 'damaged') return damagedTag(this.#name, tag);
    const hasManifest = this.#hasManifest(digest) || (await exists(store, revisionLink(this.#name, digest)));
    const hasIndex = hasManifest && (await exists(store, tagIndexLink(this.#name, tag, digest)));
    if (hasManifest && hasIndex) return undefined;
    // A push or delete may have moved it meanwhile.
    if ((await target(store, tagLink(this.#name, tag))) !== digest) return undefined;
    return hasManifest ? missingTagIndex(this.#name, tag, digest) : danglingTag(this.#name, tag, digest);
  }

  #hasManifest(digest: Digest): boolean {
    return this.#listed.revisions.get(digest) !== undefined;
  }
}
