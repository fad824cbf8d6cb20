import { pendingPrefix } from '../layout.ts';
import type { Announcement } from './announcement.ts';

/*
 * The link of a manifest names, in its metadata, the intents of the writes that have written it last. So delivery can tell a write that was
 * made from one in progress when its tag leads elsewhere by now, and a write tells that with requests that it makes anyway.
 */

const begunName = 'stowage-intent';
const madeName = 'stowage-made';

/** What the link of a manifest says of those that have written it. Intents have their names. */
export interface Marks {
  /** Of the write that has written it last, if that was in progress then. */
  readonly begun: string | undefined;
  /** Of writes of which all was made that the intent says: the last one, and those that its process has made before. */
  readonly made: readonly string[];
}

type Metadata = Readonly<Record<string, string>>;

/** For the link of a manifest to which tags are going to lead. */
export function begun(announcement: Announcement | undefined): Metadata {
  if (announcement?.key === undefined) return {};
  const { key, madeBefore } = announcement;
  return { [begunName]: intentName(key), ...(madeBefore.length > 0 && { [madeName]: madeBefore.join(' ') }) };
}

/** For the link of a manifest that is written once all is made that the intent says. */
export function made(announcement: Announcement | undefined): Metadata {
  if (announcement?.key === undefined) return {};
  return { [madeName]: [...announcement.madeBefore, intentName(announcement.key)].join(' ') };
}

/** That of a link that was not announced has none. */
export function marksIn({ [begunName]: begun, [madeName]: made = '' }: Metadata): Marks {
  return { begun, made: made.split(' ').filter(Boolean) };
}

/** The name of an intent. @param key of its object */
export function intentName(key: string): string {
  return key.slice(pendingPrefix.length);
}
