import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { Collections } from '../collection/collections.ts';
import type { CollectionView } from '../collection/views.ts';
import type { AnnounceOptions, Immutable } from '../interface.ts';
import type { RequiredPlatforms } from '../manifests/required-platforms.ts';
import { revisionLink } from '../layout.ts';
import { exists } from '../links.ts';
import { announcedTogether, type AnnounceOnce } from '../outbox/announcement.ts';
import { putAll } from '../put-objects.ts';
import { partsOf } from './content.ts';
import { describeStored } from './describe-stored.ts';
import { readHistory, type HistoryEntry, type TagHistory } from './history.ts';
import { pointTag, seeTag } from './point-tag.ts';
import { rescueImage } from './rescue-image.ts';
import { UndoRefused } from './refused.ts';

/** Where a tag is moved back to: a manifest, or what it pointed at at a time, or a duration ago. */
export type Target = { readonly digest: Digest } | { readonly at: Date } | { readonly agoMs: number };

export interface RollbackOptions extends AnnounceOptions {
  readonly requiredPlatforms?: RequiredPlatforms;
  readonly immutable?: Immutable;
  /** Only checks, and changes nothing. */
  readonly dryRun?: boolean;
}

/** What a rollback did. */
export interface Rollback {
  /** Undefined if the tag's link was damaged. */
  readonly from: Digest | undefined;
  /** The same as `from` if there was nothing to do. */
  readonly to: Digest;
}

/**
 * Moves a tag back to a manifest that the repository still has whole. The manifest need not be in the tag's history.
 * @throws UndoRefused with nothing changed
 */
export async function rollback(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  target: Target,
  { announce, ...options }: RollbackOptions = {},
): Promise<Rollback> {
  const collections = new Collections(store);
  return await announcedTogether(
    announce,
    async (announceOnce) =>
      await collections.commit(
        async (view) =>
          await rollbackUnder(view, collections, store, name, tag, target, { ...options, announceOnce }),
      ),
  );
}

interface AnnouncedOptions extends Omit<RollbackOptions, 'announce'> {
  readonly announceOnce: AnnounceOnce;
}

async function rollbackUnder(
  view: CollectionView,
  collections: Collections,
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
  target: Target,
  { requiredPlatforms, immutable, dryRun = false, announceOnce }: AnnouncedOptions,
): Promise<Rollback> {
  // Before the history, so that a push in between is noticed.
  const seen = await seeTag(store, name, tag);
  if (seen === 'absent')
    throw new UndoRefused(
      `there is no tag ${name}:${tag}; stowage restore ${name}:${tag} brings back a deleted one`,
    );
  const to =
    'digest' in target
      ? target.digest
      : chooseEntry(await readHistory(store, name, tag), tag, timeOf(store, target)).digest;
  const from = seen === 'damaged' ? undefined : seen.digest;
  if (from === to) return { from, to };
  const rule = immutable?.(tag);
  if (rule !== undefined)
    throw new UndoRefused(`tag ${tag} is immutable: ${rule}; change the rule in the policy first`);
  await assertWhole(store, name, to, requiredPlatforms);
  if (dryRun) return { from, to };
  await collections.rescueSubjects(view, name, [tag]);
  const { listed, links } = await rescueImage(store, collections, view, name, to, requiredPlatforms);
  if (listed.size > 0) await assertWhole(store, name, to, requiredPlatforms);
  await putAll(store, links);
  const announcement = await announceOnce(tag, async () => await describeStored(store, name, to, [tag]));
  await pointTag(store, name, tag, to, { seen, fence: view.fence, announcement });
  return { from, to };
}

/** By the clock of the store, which is known once it was asked for something. */
function timeOf(store: ObjectStore, target: Exclude<Target, { readonly digest: Digest }>): Date {
  return 'at' in target ? target.at : new Date(storeTimeMs(store) - target.agoMs);
}

/** What a tag pointed at, as far as the last push of each manifest tells. @throws UndoRefused */
function chooseEntry({ entries }: TagHistory, tag: Tag, at: Date): HistoryEntry {
  const entry = entries.find((one) => one.at !== undefined && one.at.getTime() <= at.getTime());
  if (entry !== undefined) return entry;
  throw new UndoRefused(
    `the history of tag ${tag} has nothing as old as ${at.toISOString()}: it keeps only the last push of each manifest; ` +
      'choose a digest from stowage history',
  );
}

/** @throws UndoRefused */
async function assertWhole(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
  requiredPlatforms: RequiredPlatforms | undefined,
): Promise<void> {
  // First, since the bytes of a digest that nobody has pushed as a manifest may be of any size.
  if (!(await exists(store, revisionLink(name, digest))))
    throw new UndoRefused(
      `repository ${name} has no manifest ${digest}: it was deleted, or never pushed there; choose one that stowage history shows as present, or push the image again`,
    );
  const parts = await partsOf(store, name, digest, requiredPlatforms);
  const missing = parts.find((part) => part.isRequired && !(part.isLinked && part.hasBytes));
  if (missing === undefined) return;
  const what = missing.digest === digest ? 'its bytes are' : `${missing.kind} ${missing.digest} is`;
  throw new UndoRefused(
    `manifest ${digest} of repository ${name} is not whole: ${what} gone; push the image again`,
  );
}
