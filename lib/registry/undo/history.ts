import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectStore } from '../../storage/store.ts';
import {
  blobData,
  parseTagIndexLink,
  revisionLink,
  tagIndexLink,
  tagIndexPrefix,
  tagLink,
} from '../layout.ts';
import { existsUndamaged, readLink, undefinedIfDamaged, type Link } from '../links.ts';
import { listObjects } from '../list-objects.ts';

/** Concurrent looks for manifests. */
const parallelLooks = 16;

/** A manifest that a tag points at, or pointed at. */
export interface HistoryEntry {
  readonly digest: Digest;
  /** When the tag was last pointed at it, by the clock of the store. Undefined if nothing tells. */
  readonly at: Date | undefined;
  /** Who pushed it last. Undefined without access control, after an undo, and where distribution pushed it or the store keeps no metadata. */
  readonly by: string | undefined;
  /** Whether the tag points at it now. */
  readonly isCurrent: boolean;
  /** Whether the repository still has it, so that the tag can be moved back. */
  readonly exists: boolean;
}

/** What a tag pointed at. */
export interface TagHistory {
  /** What the tag points at; undefined if there is no such tag, or its link is damaged. */
  readonly current: Link | undefined;
  /** Newest first, each manifest once: the layout of distribution keeps the last push of each. */
  readonly entries: readonly HistoryEntry[];
}

/** Reads the history of a tag. It has no entries if there is no such tag. */
export async function readHistory(store: ObjectStore, name: RepositoryName, tag: Tag): Promise<TagHistory> {
  const link = tagLink(name, tag);
  const [current, pushed] = await Promise.all([
    undefinedIfDamaged(store, link, readLink(store, link)),
    readPushes(store, name, tag),
  ]);
  // An interrupted delete may have removed its entry.
  if (current !== undefined && !pushed.has(current.digest)) pushed.set(current.digest, undefined);
  const entries = await inParallel([...pushed], parallelLooks, async ([digest, at]) => {
    const metadata = at && (await metadataOf(store, tagIndexLink(name, tag, digest)));
    return {
      digest,
      at: (metadata && pushedAtIn(metadata)) ?? at,
      by: metadata && pusherIn(metadata),
      isCurrent: digest === current?.digest,
      exists: await hasManifest(store, name, digest),
    };
  });
  return { current, entries: entries.sort(newestFirst) };
}

/** Of a link that is written again: the time of the push for which it stands, and which its own time no longer tells. */
const pushedAtName = 'stowage-pushed-at';

export function pushedAt(at: Date): Readonly<Record<string, string>> {
  return { [pushedAtName]: at.toISOString() };
}

/** The time in the metadata of a link that was written again; undefined for any other. */
export function pushedAtIn(metadata: Readonly<Record<string, string>>): Date | undefined {
  const at = new Date(metadata[pushedAtName] ?? Number.NaN);
  return Number.isNaN(at.getTime()) ? undefined : at;
}

const pushedByName = 'stowage-pushed-by';

/** Of the characters of metadata: names of callers that are longer are left out. */
const maxPusherSize = 512;

/** The metadata of a history entry that tell who pushed it. */
export function pusher(actor: string | undefined): Readonly<Record<string, string>> {
  // Metadata are ASCII.
  const value = encodeURIComponent((actor ?? '').toWellFormed());
  return value === '' || value.length > maxPusherSize ? {} : { [pushedByName]: value };
}

function pusherIn(metadata: Readonly<Record<string, string>>): string | undefined {
  try {
    return decodeURIComponent(metadata[pushedByName] ?? '') || undefined;
  } catch {
    return undefined;
  }
}

async function metadataOf(
  store: ObjectStore,
  key: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  return (await undefinedIfDamaged(store, key, store.head(key, { metadata: true })))?.metadata;
}

async function readPushes(
  store: ObjectStore,
  name: RepositoryName,
  tag: Tag,
): Promise<Map<Digest, Date | undefined>> {
  const links = listObjects(store, tagIndexPrefix(name, tag), { skipUnreadable: true });
  const pushes = await Array.fromAsync(links, ({ key, lastModified }) => {
    const digest = parseTagIndexLink(name, tag, key);
    return digest === undefined ? [] : [[digest, lastModified] as const];
  });
  return new Map(pushes.flat());
}

/** Whether a repository has a manifest, and its bytes are there. */
export async function hasManifest(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
): Promise<boolean> {
  const [isLinked, hasBytes] = await Promise.all([
    existsUndamaged(store, revisionLink(name, digest)),
    existsUndamaged(store, blobData(digest)),
  ]);
  return isLinked && hasBytes;
}

/** The present one first, even if its time is unknown. */
function newestFirst(a: HistoryEntry, b: HistoryEntry): number {
  const time = ({ at, isCurrent }: HistoryEntry) => at?.getTime() ?? (isCurrent ? Infinity : -Infinity);
  const [first, second] = [time(a), time(b)];
  return first === second ? Number(b.isCurrent) - Number(a.isCurrent) : second - first;
}
