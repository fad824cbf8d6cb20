import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';
import type { Immutable, Registry } from '../registry/interface.ts';
import type { Announce } from '../registry/outbox/announcement.ts';
import { UpstreamError } from '../upstream/upstream.ts';

/** A repository that images are copied to. */
export interface CopyTarget {
  /** With its quota. */
  readonly registry: Pick<Registry, 'blobs' | 'manifests' | 'uploads'>;
  readonly name: RepositoryName;
  readonly immutable: Immutable | undefined;
  /** Who copies, for the history of tags. */
  readonly pushedBy: string;
  /** Announces the image: one event for each, whatever comes along. Without it, no endpoint is told. */
  readonly announce?: Announce | undefined;
}

/** A repository that images are copied from. */
export interface CopySource {
  /** For messages. */
  readonly title: string;

  /** What a reference is now. @throws UpstreamError, RegistryError */
  resolve(reference: Reference): Promise<Digest>;

  /** The bytes of a manifest, which have the digest. @throws UpstreamError, RegistryError */
  manifest(digest: Digest): Promise<Buffer>;

  tags(): AsyncIterable<Tag>;

  /** The manifests whose subject is another one. @param tags all that the source has, if they are known */
  referrers(subject: Digest, tags: ReadonlySet<Tag> | undefined): Promise<readonly Digest[]>;

  /**
   * Gives the target a blob, whose bytes are verified.
   * @returns the bytes that had to be transferred
   * @throws UpstreamError, RegistryError
   */
  give(target: CopyTarget, digest: Digest): Promise<number>;
}

/** The result, or undefined if the source does not have it. */
export async function undefinedIfMissing<T>(work: Promise<T>): Promise<T | undefined> {
  return await work.catch((error: unknown) => {
    // What is there and cannot be read has a cause.
    const isUnknown = error instanceof UpstreamError && error.kind === 'unknown' && error.cause === undefined;
    if (isUnknown || (error instanceof RegistryError && error.status === 404)) return undefined;
    throw error;
  });
}
