import { attachedTo } from '../../protocol/referrers.ts';
import { has, type ListedRepository, type ListedTag } from './listed-repository.ts';
import type { NamedManifests } from './named-manifests.ts';

/** Who needs what in a repository. */
export class Reach {
  readonly #repository: ListedRepository;
  readonly #named: NamedManifests;
  /** By number of the manifest they are about. */
  readonly #referrers = new Map<number, number[]>();

  constructor(repository: ListedRepository, named: NamedManifests) {
    this.#repository = repository;
    this.#named = named;
    for (const [manifest, { subject }] of named.manifests)
      if (subject !== undefined) this.#addReferrer(subject, manifest);
    for (const [tag, manifest] of named.tags) {
      const subject = this.#subjectOf(tag);
      if (subject !== undefined) this.#addReferrer(subject, manifest);
    }
    for (const { manifest, blob } of repository.signatures) this.#addReferrer(manifest, blob);
  }

  /**
   * Marks all that stays as {@link has.needed}: what tags reach, manifests that are young, and untagged ones unless they are to go.
   * A tag about a manifest of this repository stays with that.
   * @param untaggedUntil untagged manifests go whose link was written up to this time, unless they are young; undefined keeps all
   * @returns how many manifests stay only because of their age
   */
  mark(untaggedUntil: number | undefined): number {
    const { written } = this.#repository;
    if (untaggedUntil === undefined) {
      this.#mark([...this.#named.tags.values(), ...this.#named.manifests.keys()]);
      return 0;
    }
    const tagged = [...this.#named.tags].filter(
      ([tag]) => (tag.link?.written ?? 0) > untaggedUntil || this.#subjectOf(tag) === undefined,
    );
    this.#mark(tagged.map(([, manifest]) => manifest));
    return this.keep(
      [...this.#named.manifests.keys()].filter((manifest) => written.revision.get(manifest) > untaggedUntil),
    );
  }

  /** Whether there are manifests that nothing marked needs. */
  get hasUnneeded(): boolean {
    return this.#named.manifests.keys().some((manifest) => this.#isUnneeded(manifest));
  }

  /** Marks manifests that stay for another reason. @returns how many of them nothing else needed */
  keep(manifests: Iterable<number>): number {
    const kept = [...new Set(manifests)].filter((manifest) => this.#isUnneeded(manifest));
    this.#mark(kept);
    return kept.length;
  }

  #isUnneeded(manifest: number): boolean {
    return this.#named.manifests.has(manifest) && !this.#repository.flags.has(manifest, has.needed);
  }

  #mark(roots: readonly number[]): void {
    const { flags } = this.#repository;
    this.#from(roots, (number) => {
      if (flags.has(number, has.needed)) return false;
      flags.add(number, has.needed);
      return true;
    });
  }

  /** All digests that a manifest needs, with itself. */
  of(manifest: number): ReadonlySet<number> {
    const reached = new Set<number>();
    this.#from([manifest], (number) => reached.size !== reached.add(number).size);
    return reached;
  }

  /** @param visit returns whether a digest is new */
  #from(roots: readonly number[], visit: (number: number) => boolean): void {
    const left = [...roots];
    for (let number = left.pop(); number !== undefined; number = left.pop()) {
      if (!visit(number)) continue;
      for (const name of this.#named.manifests.get(number)?.names ?? []) left.push(name);
      for (const referrer of this.#referrers.get(number) ?? []) left.push(referrer);
    }
  }

  #addReferrer(subject: number, referrer: number): void {
    const referrers = this.#referrers.get(subject);
    if (referrers === undefined) this.#referrers.set(subject, [referrer]);
    else referrers.push(referrer);
  }

  /**
   * The manifest that a tag is about, if this repository has it. If not, the tag is one like any other: signatures may be in a
   * repository of their own.
   */
  #subjectOf({ tag }: ListedTag): number | undefined {
    const digest = attachedTo(tag);
    const subject = digest && this.#repository.digests.find(digest);
    return subject !== undefined && this.#repository.flags.has(subject, has.revision) ? subject : undefined;
  }
}
