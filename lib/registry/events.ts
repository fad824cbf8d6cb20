import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';
import type { ManifestInfo } from './interface.ts';

/*
 * What operations of a registry did. `wrappers/with-events.ts` decides what counts as a push or a pull. They carry only what their
 * operation already knows. Subscribers are told of them as notifications.
 */

/** A request without its query, which may carry credentials. */
export interface RequestRecord {
  /** As in its log line; empty for a command. */
  readonly id: string;
  readonly method: string;
  readonly path: string;
  /** Empty for a command. */
  readonly host: string;
  /** That the client used, as far as it is known. */
  readonly protocol: 'http' | 'https';
  readonly userAgent: string;
  /** The address of the client, or of the proxy before this registry. */
  readonly address: string | undefined;
}

/** Who caused an operation. */
export interface EventContext {
  /** Undefined: there is no access control yet. */
  readonly actor: string | undefined;
  readonly request: RequestRecord;
}

export type EventDescriptor = ManifestInfo;

interface EventSubject extends EventContext {
  readonly repository: RepositoryName;
  readonly content: 'blob' | 'manifest';
  /** As requested; for a blob always its digest. */
  readonly reference: Reference;
  readonly descriptor: EventDescriptor;
}

export type RegistryEvent =
  /** Content was pushed. A push that is retried after a lost response is published again. */
  | (EventSubject & { readonly action: 'pushed'; readonly content: 'blob' })
  | (EventSubject & { readonly action: 'pushed'; readonly content: 'manifest'; readonly bytes: Uint8Array })
  /**
   * Content was sent, or the client was redirected to it. For a manifest also on HEAD, and if the client already has it.
   * A blob that is pulled in several ranges is several pulls.
   * @param isStale whether a cache could not ask its upstream whether the tag has moved
   */
  | (EventSubject & { readonly action: 'pulled'; readonly isStale?: boolean })
  /** A blob was mounted. @param from undefined if the repository already had it */
  | (EventSubject & { readonly action: 'mounted'; readonly from: RepositoryName | undefined })
  /** A tag points at a manifest. Follows the push that moved the tag, once for each tag. */
  | (EventSubject & {
      readonly action: 'tagged';
      readonly reference: { readonly kind: 'tag'; readonly tag: Tag };
    })
  /** A tag, a manifest with all its tags, or a blob was deleted. Its descriptor is not known. */
  | (Omit<EventSubject, 'descriptor'> & { readonly action: 'deleted' });
