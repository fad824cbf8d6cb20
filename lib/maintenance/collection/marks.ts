import { randomBytes } from 'node:crypto';
import { markFolders, markKey, marksPrefix, retiredKey, retiredPrefix } from '../../registry/layout.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { removeObjects } from '../../registry/remove-objects.ts';
import type { Fencing, ObjectInfo, ObjectStore } from '../../storage/store.ts';

/** How long what belongs to no mark is left, in milliseconds: a collection may be about to write it. */
const abandonedAfterMs = 7 * 24 * 60 * 60 * 1000;

/** What the id of a mark ends with under which bytes stay. */
const onlyLinksSuffix = '-links';

/**
 * The id of a new mark.
 * @param onlyLinks whether it condemns links and no bytes
 */
export function newMark(began: Date, onlyLinks: boolean): string {
  const time = String(began.getTime()).padStart(13, '0');
  return `${time}-${randomBytes(6).toString('hex')}${onlyLinks ? onlyLinksSuffix : ''}`;
}

/** When the look for a mark began, in milliseconds by the clock that dates objects. */
export function beganOf(mark: string): number {
  return Number.parseInt(mark, 10);
}

/** Whether a mark condemns links and no bytes. */
export function isOnlyLinks(mark: string): boolean {
  return mark.endsWith(onlyLinksSuffix);
}

/** A mark as it was listed. */
export interface ListedMark {
  readonly id: string;
  /** When it was written, by the clock that dates objects. */
  readonly written: Date;
}

/** Lists the marks, from the oldest. @returns also the time of the listing or before, by the clock that dates objects */
export async function listMarks(
  fencing: Fencing,
): Promise<{ readonly now: Date; readonly marks: readonly ListedMark[] }> {
  const { fence, objects } = await fencing.open(marksPrefix);
  return { now: fence.opened, marks: objects.map(markOf) };
}

function markOf({ key, lastModified }: ObjectInfo): ListedMark {
  return { id: key.slice(marksPrefix.length), written: lastModified };
}

/** Whether a mark is there and not retired, so that it permits deletions. */
export async function condemns(store: ObjectStore, id: string): Promise<boolean> {
  const [mark, retired] = await Promise.all([
    undefinedIfMissing(store.head(markKey(id))),
    undefinedIfMissing(store.head(retiredKey(id))),
  ]);
  return mark !== undefined && retired === undefined;
}

export async function isRetired(store: ObjectStore, id: string): Promise<boolean> {
  return (await undefinedIfMissing(store.head(retiredKey(id)))) !== undefined;
}

/** From now on nothing more may be deleted under a mark. */
export async function retire(store: ObjectStore, id: string): Promise<void> {
  await store.put(retiredKey(id), Buffer.from(''));
}

/** Removes a mark, with all that belongs to it. Interrupted, it is completed by {@link removeAbandoned}. */
export async function removeMark(store: ObjectStore, id: string): Promise<void> {
  await store.delete([markKey(id)]);
  await removeRest(store, id);
}

/** Removes what belongs to marks that were removed, or that were never written. */
export async function removeAbandoned(
  store: ObjectStore,
  marks: readonly ListedMark[],
  now: Date,
): Promise<void> {
  const present = new Set(marks.map(({ id }) => id));
  const retired = await Array.fromAsync(listObjects(store, retiredPrefix));
  const removed = new Set(retired.map(({ key }) => key.slice(retiredPrefix.length)));
  const found = new Set(removed);
  for (const prefix of markFolders) {
    const { prefixes } = await store.list({ prefix, delimiter: '/' });
    for (const folder of prefixes) found.add(folder.slice(prefix.length, -1));
  }
  for (const id of found) {
    const isOld = !(now.getTime() - beganOf(id) < abandonedAfterMs);
    if (!present.has(id) && (removed.has(id) || isOld)) await removeRest(store, id);
  }
}

/** That it is retired goes last: it tells that the rest is of a mark that was removed. */
async function removeRest(store: ObjectStore, id: string): Promise<void> {
  for (const folder of markFolders) await removeObjects(store, `${folder}${id}/`);
  await store.delete([retiredKey(id)]);
}
