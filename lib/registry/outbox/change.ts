import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';

/** What a write changes, as its event tells. */
export type Change =
  | ManifestPushed
  | {
      readonly action: 'pushed';
      readonly content: 'blob';
      readonly repository: RepositoryName;
      readonly digest: Digest;
      /** Bytes. */
      readonly size: number;
    }
  | {
      readonly action: 'mounted';
      readonly content: 'blob';
      readonly repository: RepositoryName;
      readonly digest: Digest;
      /** Bytes. Undefined only in an intent, which is written while they are looked up. */
      readonly size: number | undefined;
      readonly from: RepositoryName;
    }
  /** A tag alone. */
  | {
      readonly action: 'deleted';
      readonly content: 'tag';
      readonly repository: RepositoryName;
      readonly tag: Tag;
      /** What it pointed at; undefined if its link was damaged. */
      readonly digest: Digest | undefined;
    }
  /** A manifest, with all its tags. */
  | {
      readonly action: 'deleted';
      readonly content: 'manifest';
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly tags: readonly Tag[];
      /** How many of its tags were too many for an intent, and are left out. */
      readonly omittedTags?: number;
    }
  | {
      readonly action: 'deleted';
      readonly content: 'blob';
      readonly repository: RepositoryName;
      readonly digest: Digest;
    }
  /** All that a repository has. */
  | {
      readonly action: 'deleted';
      readonly content: 'repository';
      readonly repository: RepositoryName;
    };

/** A manifest was pushed, or tags were pointed at it. */
export interface ManifestPushed {
  readonly action: 'pushed';
  readonly content: 'manifest';
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** That are pointed at it; none for a push by digest. */
  readonly tags: readonly Tag[];
  readonly artifactType: string | undefined;
  readonly subject: Digest | undefined;
  /** What it names: config, layers, children. */
  readonly references: readonly Reference[];
  /** How many of them were too many for an intent, and are left out. */
  readonly omittedReferences?: number;
}

/** A descriptor in a manifest. */
export interface Reference {
  /** Empty if it has none. */
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}
