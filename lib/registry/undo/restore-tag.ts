import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { Fence, ObjectStore } from '../../storage/store.ts';
import { Collections } from '../collection/collections.ts';
import type { CollectionView } from '../collection/views.ts';
import { blobData, tagIndexLink } from '../layout.ts';
import { exists, writeLink } from '../links.ts';
import type { AnnounceOptions } from '../interface.ts';
import { announcedTogether, writeIntent, type AnnounceOnce } from '../outbox/announcement.ts';
import { putAll } from '../put-objects.ts';
import type { RequiredPlatforms } from '../manifests/required-platforms.ts';
import { linkOfPart, partsOf, type Part } from './content.ts';
import { describeStored } from './describe-stored.ts';
import { pushedAt } from './history.ts';
import { pointTag, seeTag } from './point-tag.ts';
import { DeletionRecords, digestOfTag, type RecordedPush } from './records.ts';
import { rescueImage } from './rescue-image.ts';
import { UndoRefused } from './refused.ts';
import { RepositoryRecords } from './repository-records.ts';

/** Concurrent writes of links. */
const parallelWrites = 16;

export interface RestoreOptions extends AnnounceOptions {
  readonly requiredPlatforms?: RequiredPlatforms;
  /** Only checks, and changes nothing. */
  readonly dryRun?: boolean;
}

/** A tag that was brought back. */
export interface RestoredTag {
  readonly tag: Tag;
  readonly digest: Digest;
  /** When it was deleted. */
  readonly deleted: Date;
  /** The manifests that were brought back with it. */
  readonly manifests: readonly Digest[];
}

/**
 * Brings back a deleted tag with its history, and manifests of its image that were deleted as well. Interrupted, it is completed by
 * a repetition: the tag comes last.
 * @throws UndoRefused with nothing changed that a client sees
 */
export async function restoreTag(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  { announce, ...options }: RestoreOptions = {},
): Promise<RestoredTag> {
  const collections = new Collections(store);
  return await announcedTogether(
    announce,
    async (announceOnce) =>
      await collections.commit(
        async (view) => await restoreUnder(view, collections, store, name, tag, { ...options, announceOnce }),
      ),
  );
}

interface AnnouncedOptions extends Omit<RestoreOptions, 'announce'> {
  readonly announceOnce: AnnounceOnce;
}

async function restoreUnder(
  view: CollectionView,
  collections: Collections,
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  { requiredPlatforms, dryRun = false, announceOnce }: AnnouncedOptions,
): Promise<RestoredTag> {
  const seen = await seeTag(store, name, tag);
  if (seen !== 'absent')
    throw new UndoRefused(
      `tag ${name}:${tag} is there; stowage rollback moves it to what it pointed at before`,
    );
  const { at, digest, history } = await findDeleted(store, name, tag);
  const find = async () => await linksToRestore(store, name, digest, requiredPlatforms);
  const found = await find();
  const manifests = found.filter(({ kind }) => kind === 'manifest').map((part) => part.digest);
  const restored = { tag, digest, deleted: at, manifests };
  if (dryRun) return restored;
  await collections.rescueSubjects(view, name, [tag]);
  const { listed, links } = await rescueImage(store, collections, view, name, digest, requiredPlatforms);
  const parts = listed.size > 0 ? await find() : found;
  const { fence } = view;
  await putAll(store, links);
  // What a manifest needs is there before it.
  const describe = async () => await describeStored(store, name, digest, [tag]);
  await writeIntent(store, await announceOnce(tag, describe), fence);
  for (const part of parts.toReversed()) {
    if (part.kind === 'manifest' && part.digest !== digest) {
      const describePart = async () => await describeStored(store, name, part.digest);
      await writeIntent(store, await announceOnce(part.digest, describePart), fence);
    }
    await writeLink(store, linkOfPart(name, part), part.digest, { fence });
  }
  await restoreHistory(store, name, tag, history, fence);
  await pointTag(store, name, tag, digest, { seen, fence });
  return restored;
}

/** The last delete of a tag. One whose link was damaged counts as pointing at its last push. @throws UndoRefused */
async function findDeleted(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
): Promise<{ readonly at: Date; readonly digest: Digest; readonly history: readonly RecordedPush[] }> {
  for await (const { at, tags } of new DeletionRecords(store).newestFirst(name)) {
    const deleted = tags.find((one) => one.tag === tag);
    const digest = deleted && digestOfTag(deleted);
    if (digest !== undefined) return { at, digest, history: deleted?.history ?? [] };
  }
  const [whole] = await new RepositoryRecords(store, name).last();
  if (whole?.isRestored === false)
    throw new UndoRefused(
      `no delete of tag ${name}:${tag} alone is recorded; the repository was deleted whole ${whole.at.toISOString()}, and stowage restore ${name} brings back all of it`,
    );
  throw new UndoRefused(
    `no delete of tag ${name}:${tag} is recorded: there was no such tag, or it was deleted through another registry, or so long ago that its image is gone; ` +
      'a manifest that is still there can be pushed again by its digest',
  );
}

/**
 * The links that an image needs and its repository lacks, those of manifests after what is around them. That the bytes are in
 * the bucket does not prove that the repository had them, so a record must: but for the tag's own manifest.
 * @throws UndoRefused if something is gone
 */
async function linksToRestore(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
  requiredPlatforms: RequiredPlatforms | undefined,
): Promise<readonly Part[]> {
  if (!(await exists(store, blobData(digest))))
    throw new UndoRefused(
      `the bytes of manifest ${digest} were collected, so it cannot come back; push the image again`,
    );
  const parts = await partsOf(store, name, digest, requiredPlatforms);
  const unlinked = parts.filter(({ isLinked, hasBytes }) => !isLinked && hasBytes);
  const had = await recordedAmong(store, name, unlinked, digest);
  const missing = parts.find(
    (part) => part.isRequired && !(part.hasBytes && (part.isLinked || had.has(part))),
  );
  if (missing !== undefined)
    throw new UndoRefused(
      `${missing.kind} ${missing.digest} of the image is gone from repository ${name}; push the image again`,
    );
  return parts.filter((part) => had.has(part));
}

/** Those that the repository had, as the records of its deletes say. Reads no record if there is nothing to look for. */
async function recordedAmong(
  store: ObjectStore,
  name: RepositoryName,
  parts: readonly Part[],
  own: Digest,
): Promise<ReadonlySet<Part>> {
  const found = new Set(parts.filter(({ kind, digest }) => kind === 'manifest' && digest === own));
  const sought = new Set(parts.filter((part) => !found.has(part)));
  if (sought.size === 0) return found;
  for await (const deletion of new DeletionRecords(store).newestFirst(name)) {
    const had = new Set(deletion.manifests);
    for (const part of sought)
      if (part.kind === 'manifest' && had.has(part.digest)) {
        sought.delete(part);
        found.add(part);
      }
    if (sought.size === 0) break;
  }
  return found;
}

/** Writes the history of a tag again, with the times of its pushes. */
async function restoreHistory(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  history: readonly RecordedPush[],
  fence: Fence | undefined,
): Promise<void> {
  await inParallel(history, parallelWrites, async ({ digest, at }) => {
    await writeLink(store, tagIndexLink(name, tag, digest), digest, { metadata: pushedAt(at), fence });
  });
}
