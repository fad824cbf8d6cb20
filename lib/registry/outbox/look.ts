import { inParallel } from '../../concurrency/in-parallel.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { layerLink, revisionLink, tagLink } from '../layout.ts';
import { exists } from '../links.ts';
import { deletedKinds, RepositoryRecords, type DeletedObject } from '../undo/repository-records.ts';
import { Evidence } from './evidence.ts';
import type { Change, ManifestPushed } from './change.ts';
import { intentName } from './mark.ts';
import type { PendingIntent } from './pending.ts';
import type { Resolution } from './resolution.ts';

/** Concurrent looks at tags. */
const parallelLooks = 16;

/**
 * By how much an object may seem older than one that was written before it, in milliseconds: servers of a bucket have clocks of their own.
 * Counts only where nothing can happen any more, so that no event is lost.
 */
const serversDifferMs = 2000;

/** When a write was announced. */
interface Sought {
  /** The name of its intent. */
  readonly intent: string;
  readonly since: Date;
  /** Whether it can land no more. */
  readonly isFinal: boolean;
}

type Deleted<Content> = Extract<Change, { action: 'deleted'; content: Content }>;
type Added = Extract<Change, { action: 'pushed' | 'mounted'; content: 'blob' }>;

/** A look at the bucket for the writes of some intents. */
export class Look {
  readonly #store: ObjectStore;
  readonly #evidence: Evidence;
  readonly #pending: readonly PendingIntent[];
  /** Where the last delete of a blob is among the intents. */
  readonly #blobDeletes = new Map<string, number>();

  constructor(store: ObjectStore, pending: readonly PendingIntent[]) {
    this.#store = store;
    this.#evidence = new Evidence(store);
    this.#pending = pending;
    for (const [at, { intent }] of pending.entries()) {
      const { change } = intent;
      if (change.action === 'deleted' && change.content === 'blob') this.#blobDeletes.set(blobOf(change), at);
    }
  }

  /** Of a write that is known to have happened. @param at its place */
  async made(at: number): Promise<Resolution> {
    const change = this.#pending[at]?.intent.change;
    return change === undefined ? dropped : await this.#happened(change);
  }

  /** @param isFinal whether the write can land no more */
  async resolve(at: number, isFinal: boolean): Promise<Resolution> {
    const one = this.#pending[at];
    if (one === undefined) return dropped;
    const { change } = one.intent;
    const sought = { intent: intentName(one.key), since: one.lastModified, isFinal };
    if (change.action !== 'deleted')
      return change.content === 'manifest'
        ? await this.#manifestPushed(change, sought)
        : await this.#blobAdded(change, sought, (this.#blobDeletes.get(blobOf(change)) ?? -1) > at);
    switch (change.content) {
      case 'tag':
        return await this.#linkDeleted(change, tagLink(change.repository, change.tag), sought);
      case 'blob':
        return await this.#linkDeleted(change, layerLink(change.repository, change.digest), sought);
      case 'manifest':
        return await this.#manifestDeleted(change, sought);
      case 'repository':
        return await this.#repositoryDeleted(change, at, sought);
    }
  }

  async #manifestPushed(change: ManifestPushed, sought: Sought): Promise<Resolution> {
    const { repository, digest, tags } = change;
    const revision = await this.#evidence.find(revisionLink(repository, digest));
    // Every push writes it again, once all checks have passed.
    const isWritten = revision !== undefined && revision.lastModified >= sought.since;
    const looks = await inParallel(
      tags,
      parallelLooks,
      async (tag) => await this.#tagMoved(change, tag, isWritten, sought),
    );
    const isReached =
      tags.length > 0 ? looks.every((look) => look === 'moved') : revision && isSince(revision, sought);
    if (isReached === true) return happened(change);
    const traces = await this.#tracesOf(change, revision, sought);
    if (traces === 'made') return happened(change);
    if (!sought.isFinal) return undecided(traces === 'lost' && !looks.includes('not moved'));
    const reached = tags.filter((_, i) => looks[i] !== 'not moved');
    const isGone = async () => await this.#evidence.mayHaveLostManifest(repository, digest, sought.since);
    if (reached.length > 0 || isWritten || (revision === undefined && (await isGone())))
      return happened({ ...change, tags: reached });
    return dropped;
  }

  /**
   * What the link of a manifest says of its push, whose tags lead elsewhere, if it has any.
   * @returns `made`; `not made` if it was not answered; `lost` if others have written or deleted the link since
   */
  async #tracesOf(
    { repository, digest, tags }: ManifestPushed,
    revision: ObjectInfo | undefined,
    { since, intent }: Sought,
  ): Promise<'made' | 'not made' | 'lost'> {
    if (revision === undefined) {
      if (await this.#evidence.hasLostMade(repository, intent, since)) return 'made';
      const isGone = tags.length > 0 || (await this.#evidence.mayHaveLostManifest(repository, digest, since));
      return isGone ? 'lost' : 'not made';
    }
    const { begun, made } = await this.#evidence.marksOf(revision.key);
    if (made.includes(intent)) return 'made';
    if (begun === intent) return 'not made';
    return revision.lastModified >= since ? 'lost' : 'not made';
  }

  /** @returns `replaced` if it may have been moved before it was moved elsewhere or deleted */
  async #tagMoved(
    { repository, digest }: ManifestPushed,
    tag: Tag,
    isWritten: boolean,
    sought: Sought,
  ): Promise<'moved' | 'replaced' | 'not moved'> {
    const link = await this.#evidence.find(tagLink(repository, tag));
    if (link === undefined)
      return (await this.#evidence.mayHaveLostTag(repository, tag, sought.since)) ? 'replaced' : 'not moved';
    // An immutable tag that leads there already is not written again.
    if (await this.#evidence.leadsTo(link, digest))
      return isWritten || isSince(link, sought) ? 'moved' : 'not moved';
    return link.lastModified >= sought.since ? 'replaced' : 'not moved';
  }

  /** @param isDeletedLater whether a later intent shows that the repository had it, and may have lost it */
  async #blobAdded(change: Added, sought: Sought, isDeletedLater: boolean): Promise<Resolution> {
    const link = await this.#evidence.find(layerLink(change.repository, change.digest));
    if (link !== undefined && isSince(link, sought)) return await this.#happened(change);
    const isGone = link === undefined && (isDeletedLater || (await this.#lostAll(change.repository, sought)));
    if (!sought.isFinal) return undecided(isGone);
    return isGone ? await this.#happened(change) : dropped;
  }

  async #lostAll(name: RepositoryName, { since }: Sought): Promise<boolean> {
    return await this.#evidence.mayHaveLostAll(name, since);
  }

  async #linkDeleted(change: Change, key: string, sought: Sought): Promise<Resolution> {
    const look = await this.#deleted(key, sought);
    if (look === 'deleted' || (look === 'unclear' && sought.isFinal)) return happened(change);
    return sought.isFinal ? dropped : undecided(look === 'unclear');
  }

  /** @returns `unclear` if it was written at the time of the intent, before or after it */
  async #deleted(key: string, { since }: Sought): Promise<'deleted' | 'unclear' | 'there'> {
    const link = await this.#evidence.find(key);
    // One that is newer was written after the delete.
    if (link === undefined || link.lastModified > since) return 'deleted';
    return link.lastModified < since ? 'there' : 'unclear';
  }

  async #manifestDeleted(change: Deleted<'manifest'>, sought: Sought): Promise<Resolution> {
    const { repository, digest, tags } = change;
    const resolution = await this.#linkDeleted(change, revisionLink(repository, digest), sought);
    if (resolution.outcome !== 'dropped') return resolution;
    // The process ended after some of its tags.
    const looks = await inParallel(
      tags,
      parallelLooks,
      async (tag) => await this.#deleted(tagLink(repository, tag), sought),
    );
    const gone = tags.filter((_, i) => looks[i] === 'deleted');
    if (gone.length === 0) return dropped;
    return {
      outcome: 'happened',
      changes: gone.map((tag) => ({ action: 'deleted', content: 'tag', repository, tag, digest })),
    };
  }

  /** Once it is complete; or later, if it has taken anything. */
  async #repositoryDeleted(change: Deleted<'repository'>, at: number, sought: Sought): Promise<Resolution> {
    const began = this.#pending[at]?.intent.at ?? sought.since;
    const records = new RepositoryRecords(this.#store, change.repository);
    // A delete that was interrupted is completed under another record.
    const since = (await records.last()).filter(({ at }) => at >= began);
    if (since.some(({ isFinished }) => isFinished)) return happened(change);
    if (!sought.isFinal) return undecided(false);
    for (const record of since)
      for (const kind of deletedKinds)
        for await (const objects of records.parts(record, kind))
          if (await this.#isAnyGone(objects)) return happened(change);
    return dropped;
  }

  async #isAnyGone(objects: readonly DeletedObject[]): Promise<boolean> {
    const found = await inParallel(objects, parallelLooks, async ({ key }) => await exists(this.#store, key));
    return found.includes(false);
  }

  /** Of a change that was not known in full when it was announced. */
  async #happened(change: Change): Promise<Resolution> {
    if (change.action !== 'mounted' || change.size !== undefined) return happened(change);
    return happened({ ...change, size: await this.#evidence.sizeOf(change.digest) });
  }
}

const dropped: Resolution = { outcome: 'dropped' };

function happened(change: Change): Resolution {
  return { outcome: 'happened', changes: [change] };
}

function undecided(blocks: boolean): Resolution {
  return { outcome: 'undecided', blocks };
}

function isSince({ lastModified }: ObjectInfo, { since, isFinal }: Sought): boolean {
  return lastModified.getTime() >= since.getTime() - (isFinal ? serversDifferMs : 0);
}

function blobOf({ repository, digest }: Pick<Added, 'repository' | 'digest'>): string {
  return `${repository} ${digest}`;
}
