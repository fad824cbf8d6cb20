import type { RepositoryKey } from '../../registry/repository-keys.ts';
import type { ObjectInfo } from '../../storage/store.ts';
import type { SortedDigests } from './sorted-digests.ts';

/** What the listing of a repository has had so far. The next repository uses its memory. */
export interface Listed {
  /** The blobs that the repository has a link to, with the size of their bytes; {@link noBytes} without bytes. */
  readonly layers: SortedDigests;
  readonly revisions: SortedDigests;
}

/** In place of a size. */
export const noBytes = -1;

/** A listed key of a kind. */
export type Entry<Kind extends RepositoryKey['kind'] = RepositoryKey['kind']> = {
  readonly object: ObjectInfo;
} & Extract<RepositoryKey, { readonly kind: Kind }>;
