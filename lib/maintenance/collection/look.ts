import type { Digest } from '../../protocol/digests.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { AgeOptions } from './ages.ts';
import { LookRun } from './look-run.ts';
import type { ListedRepository } from './listed-repository.ts';
import type { NamedManifests } from './named-manifests.ts';
import type { Reach } from './reach.ts';
import { LocalSegments } from './segments.ts';
import { Spool, type Owner } from './spool.ts';

/** How a look goes on. */
export type Progress =
  | { readonly phase: 'repositories'; readonly keys: number; readonly repository: string }
  | { readonly phase: 'blobs'; readonly blobs: number };

export interface LookOptions extends AgeOptions {
  /** Whether what manifests name is kept in the bucket for the next look. */
  readonly keeps?: boolean;
  /** Told once why that cannot be kept. */
  readonly onUnsaved?: (error: unknown) => void;
  readonly onProgress?: (progress: Progress) => void;
}

/** What the owner of a digest has of it. */
export const owns = {
  /** A link. */
  link: 1,
  youngLink: 2,
  /** Something there that stays needs it. */
  need: 4,
  /** It is not known who needs it there. */
  hold: 8,
  /** The owner is not a repository, but what a visitor has added. */
  other: 16,
} as const;

/** A repository whose manifests were read. */
export interface SeenRepository {
  /** From 0, in order. */
  readonly id: number;
  readonly listed: ListedRepository;
  readonly named: NamedManifests;
  readonly reach: Reach;
  /** Manifests that stay only because they are young. */
  readonly youngManifests: number;
}

/** The bytes of a blob or manifest. */
export interface SeenBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly isYoung: boolean;
  /** Repositories, and what a visitor has added: see {@link owns}. */
  readonly owners: readonly Owner[];
}

/** Receives all repositories, and then all blobs. The look waits for what it returns. */
export interface Visitor {
  /** @param add counts something else as an owner of a digest, such as a tag */
  repository(seen: SeenRepository, add: (digest: Digest, id: number) => void): Promise<void> | void;
  blob(seen: SeenBlob): Promise<void> | void;
  /** A digest without bytes that has owners, such as a link. It comes between blobs, in the order of digests. */
  missing?(seen: Pick<SeenBlob, 'digest' | 'owners'>): Promise<void> | void;
}

/**
 * Reads what a bucket has, and who needs it: two listings, and each manifest that no look has read before. It changes nothing but
 * what it keeps for the next look. It is not a snapshot: what is pushed or deleted meanwhile may count or not.
 *
 * In memory are one repository, some packs, and a part of the digests: see {@link Spool}. The others are in a temporary file.
 * @throws StoreUnavailable also for a folder that cannot be read
 */
export async function look(store: ObjectStore, options: LookOptions, visitor: Visitor): Promise<void> {
  const segments = new LocalSegments();
  try {
    await new LookRun(store, options, visitor, new Spool(segments)).run(() => Promise.resolve('go on'));
  } finally {
    segments.close();
  }
}
