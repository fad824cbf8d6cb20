import { RegistryError } from '../../protocol/errors.ts';
import { FenceEnded, type Fence, type NewObject, type ObjectStore } from '../../storage/store.ts';
import { UndoRefused } from '../undo/refused.ts';
import type { Change } from './change.ts';

/** What a writer is given to announce what it is going to change. @returns undefined if nobody is told of it */
export type Announce = (change: Change) => Announcement | undefined;

/** A change that is going to be made, perhaps in several attempts. */
export interface Announcement {
  /**
   * The intent of an attempt, to be in the bucket before anything of that can be seen. Each attempt needs one of its own, under the fence
   * of its commits: an intent is dropped once these can land no more.
   */
  intent(fence: Fence | undefined): NewObject;

  /** Of the intent of the attempt in progress. */
  readonly key: string | undefined;

  /** The names of the intents of pushes of the same manifest that this process has made before: the last ones. */
  readonly madeBefore: readonly string[];

  /** To be called before something of this attempt can be seen: a refusal does not take its intent back any more. */
  keep(): void;

  /** The intent of what can be seen of an attempt that is refused. A withdrawal leaves this one in place of that. */
  narrowed(change: Change, fence: Fence | undefined): NewObject;

  /** The write was refused. @throws StoreUnavailable if its intents may still be there */
  withdraw(): Promise<void>;

  /** The write was made, and is going to be answered. Never rejects. */
  done(): Promise<void>;
}

/**
 * Does a write, and withdraws its announcement if it is refused. After any other failure nobody knows what has become of it, so the
 * intents stay.
 * @param write is given what announces the change, once for all attempts
 * @param isMade whether anything was written
 */
export async function announced<T>(
  announce: Announce | undefined,
  write: (announce: Announce) => Promise<T>,
  isMade: (result: T) => boolean = () => true,
): Promise<T> {
  let announcement: Announcement | undefined;
  const once: Announce = (change) => (announcement ??= announce?.(change));
  try {
    const result = await write(once);
    await (isMade(result) ? announcement?.done() : announcement?.withdraw());
    return result;
  } catch (error) {
    if (isRefusal(error)) await announcement?.withdraw();
    throw error;
  }
}

/** Announces a change in the first attempt, and gives the same announcement to others. @param change is not asked for if nobody is told */
export type AnnounceOnce = (key: string, change: () => Promise<Change>) => Promise<Announcement | undefined>;

/**
 * As {@link announced}, for a write of several changes, each of which has a key of its own.
 * @param isMade whether a change was made that was announced
 */
export async function announcedTogether<T>(
  announce: Announce | undefined,
  write: (announce: AnnounceOnce) => Promise<T>,
  isMade: (key: string) => Promise<boolean> = async () => await Promise.resolve(true),
): Promise<T> {
  const announcements = new Map<string, Announcement | undefined>();
  const once: AnnounceOnce = async (key, change) => {
    if (announce !== undefined && !announcements.has(key)) announcements.set(key, announce(await change()));
    return announcements.get(key);
  };
  const all = () => [...announcements.values()].filter((one) => one !== undefined);
  try {
    const result = await write(once);
    for (const [key, announcement] of announcements)
      if (announcement !== undefined)
        await ((await isMade(key)) ? announcement.done() : announcement.withdraw());
    return result;
  } catch (error) {
    if (isRefusal(error)) for (const announcement of all()) await announcement.withdraw();
    throw error;
  }
}

/** Whether a write has failed because it may not be made. */
export function isRefusal(error: unknown): boolean {
  return error instanceof UndoRefused || (error instanceof RegistryError && error.status < 500);
}

/**
 * Writes the intent of an attempt beside something else, which must not show anything of the change. Neither is under way once this
 * has ended, so that a withdrawal meets all.
 * @throws what the other throws, unless it is unknown whether the intent was written
 */
export async function besideIntent<T>(
  store: ObjectStore,
  announcement: Announcement | undefined,
  fence: Fence | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (announcement === undefined) return await work();
  const [intent, other] = await Promise.allSettled([writeIntent(store, announcement, fence), work()]);
  if (intent.status === 'rejected' && !(intent.reason instanceof FenceEnded)) throw intent.reason;
  if (other.status === 'rejected') throw other.reason;
  if (intent.status === 'rejected') throw intent.reason;
  return other.value;
}

/** Writes the intent of an attempt. */
export async function writeIntent(
  store: ObjectStore,
  announcement: Announcement | undefined,
  fence: Fence | undefined,
): Promise<void> {
  if (announcement !== undefined) await putIntent(store, announcement.intent(fence));
}

export async function putIntent(store: ObjectStore, { key, bytes, fence }: NewObject): Promise<void> {
  await store.put(key, bytes, { fence });
}
