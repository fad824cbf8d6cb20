import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Intent } from './outbox/intent.ts';

/** What a subscriber is told: one event. A change of several tags is one for each. */
export interface Notification {
  /** A UUID, the same in each delivery. */
  readonly id: string;
  readonly at: Date;
  readonly action: 'push' | 'pull' | 'mount' | 'delete';
  /** The tag that this one is about; undefined for a change by digest. */
  readonly tag: Tag | undefined;
  readonly change: Intent['change'] | Pulled;
  readonly context: Intent['context'];
  readonly source: Intent['source'];
}

/** Content was sent. Only in memory. */
export interface Pulled {
  readonly action: 'pulled';
  readonly content: 'manifest' | 'blob';
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** Whether a cache could not ask its upstream whether the tag has moved. */
  readonly isStale?: boolean;
}
