import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';

/*
 * What has happened in a registry, for whom it concerns: the list of repositories, and later webhooks and metrics. What
 * counts as a push or a pull is decided in `wrappers/with-events.ts`. An event is made of what its operation knows anyway.
 */

/** A request, without its query, which may carry authority. */
export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly userAgent: string;
  /** The address of the client, or of the proxy before this registry. */
  readonly address: string | undefined;
}

/** On whose behalf something is done. */
export interface EventContext {
  /** Undefined where nobody is known: there is no access control yet. */
  readonly actor: string | undefined;
  readonly request: RequestRecord;
}

export interface EventDescriptor {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

interface About extends EventContext {
  readonly repository: RepositoryName;
  readonly content: 'blob' | 'manifest';
  /** As it was asked for; a blob has none but its digest. */
  readonly reference: Reference;
  readonly descriptor: EventDescriptor;
}

export type RegistryEvent =
  /** Content was taken in. A push that is repeated after a lost response is told again. */
  | (About & { readonly action: 'pushed' })
  /**
   * Content was given out, or the client was sent to where it is. Of a manifest also where HEAD asked for it, or the client has
   * it already; a blob in several ranges is several pulls.
   */
  | (About & { readonly action: 'pulled' })
  /** A blob was taken over. @param from undefined where the repository had it before */
  | (About & { readonly action: 'mounted'; readonly from: RepositoryName | undefined })
  /** A tag points at a manifest: told after the push that moved it, once for each tag. */
  | (About & { readonly action: 'tagged'; readonly reference: { readonly kind: 'tag'; readonly tag: Tag } })
  /** A tag is gone, or by its digest a manifest with all its tags, or a blob. Nothing more is known of it. */
  | (Omit<About, 'descriptor'> & { readonly action: 'deleted' });

/** Is told of all events of one operation at once, in their order. The client waits for it. */
export type Subscriber = (events: readonly RegistryEvent[]) => Promise<void> | void;

export type Publish = (events: readonly RegistryEvent[]) => Promise<void>;

/**
 * Tells all subscribers, and resolves when all have done what they do. What was done is done: a subscriber that fails neither
 * fails the operation nor keeps the others from hearing of it.
 * @param onFailure is told why one has failed
 */
export function createPublisher(
  subscribers: readonly Subscriber[],
  onFailure: (error: unknown) => void,
): Publish {
  return async (events) => {
    if (events.length === 0) return;
    const told = await Promise.allSettled(
      subscribers.map(async (subscriber) => {
        await subscriber(events);
      }),
    );
    for (const one of told) if (one.status === 'rejected') onFailure(one.reason);
  };
}
