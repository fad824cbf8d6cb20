import type { CondemnedMark } from './condemn.ts';
import { Deleted } from './deletion.ts';
import type { Garbage } from './garbage.ts';
import type { LeftBySecondLook } from './plan.ts';

/** A mark that can be taken up later. */
export interface Waiting {
  readonly mark: string;
  /** Whether the bytes of what it condemns stay. */
  readonly onlyLinks: boolean;
  /** When it was written, by the clock that dates objects. */
  readonly written: Date;
  /** What comes next: deletions, or the removal of the mark, after which nothing comes. */
  readonly next: 'deletions' | 'removal';
  /** When, by the clock of this machine. */
  readonly from: Date;
}

/** What a collection has done so far. */
export interface CollectionReport {
  /** What the first look found, if there was one. */
  garbage: Garbage | undefined;
  condemned: CondemnedMark | undefined;
  readonly deleted: Deleted;
  readonly left: { -readonly [K in keyof LeftBySecondLook]: number };
  /** Deleted links that were written again, since something needs them that came through another registry. */
  linksWrittenAgain: number;
  /** Marks under which nothing more is deleted, since this collection is of the other kind: of links alone, or of bytes too. */
  readonly givenUp: string[];
  /** Marks under which all was deleted. */
  readonly completed: string[];
  readonly waiting: Waiting[];
}

export function emptyReport(): CollectionReport {
  return {
    garbage: undefined,
    condemned: undefined,
    deleted: new Deleted(),
    left: { needed: 0, renewed: 0, held: 0 },
    linksWrittenAgain: 0,
    givenUp: [],
    completed: [],
    waiting: [],
  };
}

/** What a run has done, as numbers, and the marks that wait. */
export function summaryOf({
  condemned,
  deleted,
  left,
  linksWrittenAgain,
  givenUp,
  completed,
  waiting,
}: CollectionReport) {
  return {
    deleted: {
      bytes: deleted.blobs.bytes,
      blobs: deleted.blobs.number,
      manifests: deleted.manifests,
      links: deleted.links,
      repositories: deleted.repositories.size,
    },
    left: { ...left, rescued: deleted.rescued.size },
    linksWrittenAgain,
    givenUp,
    completed,
    condemned: condemned === undefined ? null : { ...condemned },
    waiting,
  };
}
