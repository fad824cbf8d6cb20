import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import { PreconditionFailed, type Fence, type ObjectStore } from '../../storage/store.ts';
import { revisionLink, tagIndexLink, tagLink } from '../layout.ts';
import { exists, isDamage, readLink, writeLink, type Link } from '../links.ts';
import { besideIntent, type Announcement } from '../outbox/announcement.ts';
import { made } from '../outbox/mark.ts';
import { UndoRefused } from './refused.ts';

/** What a tag's link was when it was read. */
export type SeenLink = Link | 'absent' | 'damaged';

/** How a tag is pointed elsewhere. */
export interface Pointing {
  readonly seen: SeenLink;
  /** Of the view under which everything was looked at. */
  readonly fence: Fence | undefined;
  /** Unless its intent is in the bucket already. */
  readonly announcement?: Announcement | undefined;
}

/** Reads the link of a tag, to point it elsewhere. */
export async function seeTag(store: ObjectStore, name: RepositoryName, tag: Tag): Promise<SeenLink> {
  try {
    return (await readLink(store, tagLink(name, tag))) ?? 'absent';
  } catch (error) {
    if (!isDamage(error)) throw error;
    return 'damaged';
  }
}

/**
 * Points a tag at a manifest that the repository has, if its link is still what was seen: the only place where an undo commits
 * (docs/garbage-collection.md), in the order of a push. A damaged link is replaced whatever it is. Stores without conditional
 * writes are asked once more just before. The look back is that of a push: it prevents a dangling tag when the manifest
 * is deleted at the same time.
 * @throws UndoRefused if the tag was moved, created or deleted meanwhile
 */
export async function pointTag(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  digest: Digest,
  { seen, fence, announcement }: Pointing,
): Promise<void> {
  await besideIntent(store, announcement, fence, async () => {
    await writeLink(store, tagIndexLink(name, tag, digest), digest, { fence });
  });
  await moveLink(store, name, tag, digest, { seen, fence });
  const manifest = revisionLink(name, digest);
  if (announcement !== undefined || !(await exists(store, manifest)))
    await writeLink(store, manifest, digest, { fence, metadata: made(announcement) });
}

async function moveLink(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  digest: Digest,
  { seen, fence }: Omit<Pointing, 'announcement'>,
): Promise<void> {
  const { honoursIfMatch, honoursOnlyIfAbsent } = store.limits;
  const isGuarded = seen === 'absent' ? honoursOnlyIfAbsent : honoursIfMatch;
  if (seen !== 'damaged' && !isGuarded && !isSame(await seeTag(store, name, tag), seen)) throw moved(tag);
  const guard = seen === 'damaged' ? {} : seen === 'absent' ? { onlyIfAbsent: true } : { ifMatch: seen.etag };
  try {
    await writeLink(store, tagLink(name, tag), digest, { ...guard, fence });
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    // An attempt whose answer was lost may have moved it.
    const now = await seeTag(store, name, tag);
    if (typeof now === 'string' || now.digest !== digest) throw moved(tag);
  }
}

function isSame(now: SeenLink, seen: SeenLink): boolean {
  if (typeof now === 'string' || typeof seen === 'string') return now === seen;
  return now.etag === seen.etag;
}

function moved(tag: Tag): UndoRefused {
  return new UndoRefused(
    `tag ${tag} was pushed or deleted at the same time, and was left so; look at its history and repeat`,
  );
}
