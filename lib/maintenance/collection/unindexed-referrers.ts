import type { Digest } from '../../protocol/digests.ts';
import type { SeenRepository } from './look.ts';

/** Most subjects of a chain of referrers that are followed. Signatures of an SBOM of an image have two. */
const maxSubjects = 8;

/**
 * Referrers that writers do not find, since the index of referrers has no entry of them, as after a push through distribution: who
 * rescues their subject rescues them as well.
 */
export class UnindexedReferrers {
  readonly #seen: Pick<SeenRepository, 'listed' | 'named'>;
  /** Manifests with an entry. */
  readonly #indexed: ReadonlySet<number>;

  constructor(seen: Pick<SeenRepository, 'listed' | 'named'>) {
    this.#seen = seen;
    const entries = seen.listed.referrers.filter(
      ({ manifest, subject }) => seen.named.manifests.get(manifest)?.subject === subject,
    );
    this.#indexed = new Set(entries.map(({ manifest }) => manifest));
  }

  /** The digests whose rescue does not rescue a manifest that is about them, or about what is about them. */
  subjectsOf(manifest: number): readonly Digest[] {
    const { listed, named } = this.#seen;
    const subjects: Digest[] = [];
    let isIndexed = true;
    let one = manifest;
    for (let number = 0; number < maxSubjects; number++) {
      const subject = named.manifests.get(one)?.subject;
      if (subject === undefined) break;
      isIndexed &&= this.#indexed.has(one);
      if (!isIndexed) subjects.push(listed.digests.get(subject));
      one = subject;
    }
    return subjects;
  }
}
