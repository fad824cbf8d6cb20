import type { Digest } from '../../protocol/digests.ts';
import { owns, type SeenBlob, type SeenRepository } from './look.ts';
import type { ResumableVisitor } from './look-steps.ts';
import { linksOf } from './repository-links.ts';

/** What would go of a repository. */
export interface RepositoryGarbage {
  readonly name: string;
  readonly manifests: number;
  /** Links of blobs, manifests and signatures, entries of tags' histories and of the index of referrers, and tags of referrers. */
  readonly links: number;
  /** Of the blobs and manifests that would go and that it has a link to; others may have one too. */
  bytes: number;
  /** Whether nothing would be left of it. */
  readonly isEmptied: boolean;
}

/** A repository of which nothing may go. */
export interface Damaged {
  readonly name: string;
  readonly reasons: readonly string[];
}

/** Counts what would go if all garbage were deleted. */
export class Garbage implements ResumableVisitor {
  /** All that the bucket has. */
  readonly total = { repositories: 0, blobs: 0, bytes: 0 };
  /** Those of which something would go. Bytes count once. */
  readonly freed = { repositories: 0, emptied: 0, manifests: 0, links: 0, blobs: 0, bytes: 0 };
  /** What would go if it were older. */
  readonly young = { manifests: 0, links: 0, blobs: 0, bytes: 0 };
  /** What would go, and is in no repository. */
  readonly unlinked = { blobs: 0, bytes: 0 };
  readonly damaged: Damaged[] = [];
  /** By number of the repository. */
  readonly #repositories = new Map<number, RepositoryGarbage>();
  readonly #onFreed: (digest: Digest) => void;

  /** @param onFreed is called for each blob or manifest whose bytes would go, in the order of listings */
  constructor(onFreed: (digest: Digest) => void = () => undefined) {
    this.#onFreed = onFreed;
  }

  /** In the order of listings. */
  get repositories(): RepositoryGarbage[] {
    return [...this.#repositories.values()];
  }

  save(): Buffer {
    const { total, freed, young, unlinked, damaged } = this;
    const repositories = [...this.#repositories];
    return Buffer.from(JSON.stringify({ total, freed, young, unlinked, damaged, repositories }));
  }

  restore(saved: Buffer): void {
    const { repositories, damaged, ...counts } = JSON.parse(saved.toString()) as SavedGarbage;
    for (const name of ['total', 'freed', 'young', 'unlinked'] as const)
      Object.assign(this[name], counts[name]);
    this.damaged.push(...damaged);
    for (const [id, repository] of repositories) this.#repositories.set(id, repository);
  }

  repository(seen: SeenRepository): void {
    const { id, named, youngManifests } = seen;
    const { name } = seen.listed;
    this.total.repositories += 1;
    if (named.damage.length > 0) {
      this.damaged.push({ name, reasons: named.damage });
      return;
    }
    const { manifests, links, youngLinks, isEmptied } = countLinks(seen);
    this.young.manifests += youngManifests;
    this.young.links += youngLinks;
    if (manifests + links === 0) return;
    this.#repositories.set(id, { name, manifests, links, bytes: 0, isEmptied });
    this.freed.repositories += 1;
    this.freed.emptied += isEmptied ? 1 : 0;
    this.freed.manifests += manifests;
    this.freed.links += links;
  }

  blob({ digest, size, isYoung, owners }: SeenBlob): void {
    this.total.blobs += 1;
    this.total.bytes += size;
    if (owners.some(({ flags }) => (flags & (owns.need | owns.hold)) !== 0)) return;
    const isKept = isYoung || owners.some(({ flags }) => (flags & owns.youngLink) !== 0);
    add(isKept ? this.young : this.freed, size);
    if (isKept) return;
    this.#onFreed(digest);
    if (owners.length === 0) add(this.unlinked, size);
    for (const { id, flags } of owners) {
      const repository = (flags & owns.other) === 0 ? this.#repositories.get(id) : undefined;
      if (repository !== undefined) repository.bytes += size;
    }
  }
}

type SavedGarbage = Pick<Garbage, 'total' | 'freed' | 'young' | 'unlinked' | 'damaged'> & {
  readonly repositories: readonly (readonly [number, RepositoryGarbage])[];
};

function add(to: { blobs: number; bytes: number }, size: number): void {
  to.blobs += 1;
  to.bytes += size;
}

interface Links {
  readonly manifests: number;
  readonly links: number;
  readonly youngLinks: number;
  readonly isEmptied: boolean;
}

function countLinks(seen: SeenRepository): Links {
  const found = { manifests: 0, links: 0, youngLinks: 0, left: 0 };
  for (const { kind, isNeeded, isYoung } of linksOf(seen)) {
    if (isNeeded) found.left += 1;
    else if (isYoung) found.youngLinks += 1;
    else {
      found.links += 1;
      if (kind === 'revision') found.manifests += 1;
    }
  }
  return { ...found, isEmptied: found.left + found.youngLinks === 0 };
}
