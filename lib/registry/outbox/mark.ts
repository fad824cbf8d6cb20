import { pendingPrefix } from '../layout.ts';
import type { Announcement } from './announcement.ts';

/*
 * The link of a manifest names, in its metadata, the intent of the write that has written it last. So delivery can tell a write that was
 * made from one in progress when its tag leads elsewhere by now, and a write tells that with requests that it makes anyway.
 */

const begunName = 'stowage-intent';
const madeName = 'stowage-made';

/** What the link of a manifest says of the write that has written it last. */
export interface Mark {
  /** The name of its intent. */
  readonly intent: string;
  /** Whether all was made that its intent says. */
  readonly isMade: boolean;
}

type Metadata = Readonly<Record<string, string>>;

/** For the link of a manifest to which tags are going to lead. */
export function begun(announcement: Announcement | undefined): Metadata {
  return announcement?.key === undefined ? {} : { [begunName]: intentName(announcement.key) };
}

/** For the link of a manifest that is written once all is made that the intent says. */
export function made(announcement: Announcement | undefined): Metadata {
  return announcement?.key === undefined ? {} : { [madeName]: intentName(announcement.key) };
}

/** @returns undefined for the link of a write that was not announced */
export function markIn(metadata: Metadata): Mark | undefined {
  const isMade = madeName in metadata;
  const intent = metadata[isMade ? madeName : begunName];
  return intent === undefined ? undefined : { intent, isMade };
}

/** The name of an intent. @param key of its object */
export function intentName(key: string): string {
  return key.slice(pendingPrefix.length);
}
