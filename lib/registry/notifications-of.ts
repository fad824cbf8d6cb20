import { createHash } from 'node:crypto';
import type { Tag } from '../protocol/tags.ts';
import type { Change } from './outbox/change.ts';
import type { Intent } from './outbox/intent.ts';
import type { Notification } from './notification.ts';
import type { Subscriber } from './subscriber.ts';

const actions = { pushed: 'push', mounted: 'mount', deleted: 'delete' } as const;

/**
 * What subscribers are told of changes that happened: one notification for each tag of a push; of a deleted manifest one by its digest,
 * then one for each of its tags, as distribution does it.
 * @param changes mostly that of the intent
 */
export function notificationsOf(
  { id, at, change: announced, context, source }: Intent,
  changes: readonly Change[] = [announced],
): readonly Notification[] {
  // A change of one tag is one event, whose id is that of the intent. If only the manifest of its push can be seen, that is another event:
  // the tag may still come, and be announced under the same id.
  const hasOwnId = (tag: Tag | undefined) =>
    isManifestDelete(announced)
      ? tag === undefined
      : tagsOf(announced).length === (tag === undefined ? 0 : 1);
  return changes.flatMap((change) =>
    targetsOf(change).map((tag) => ({
      id: hasOwnId(tag) ? id : idOfTag(id, tag ?? ''),
      at,
      action: actions[change.action],
      tag,
      change: withTag(change, tag),
      context,
      source,
    })),
  );
}

/** Whether any subscriber is told of a change. Of an endpoint, its intent must be written. */
export function isWanted(subscribers: readonly Pick<Subscriber, 'takes'>[], change: Change): boolean {
  return subscribers.some((subscriber) => subscriber.takes({ action: actions[change.action], change }));
}

/** A notification need not have the other tags: there may be a thousand, and as many notifications. */
function withTag(change: Change, tag: Tag | undefined): Change {
  return change.content === 'manifest' ? { ...change, tags: tag === undefined ? [] : [tag] } : change;
}

/** The tag of each notification; undefined for one about the digest or the repository. */
function targetsOf(change: Change): readonly (Tag | undefined)[] {
  const tags = tagsOf(change);
  if (isManifestDelete(change)) return [undefined, ...tags];
  return tags.length === 0 ? [undefined] : tags;
}

function isManifestDelete({ action, content }: Change): boolean {
  return action === 'deleted' && content === 'manifest';
}

function tagsOf(change: Change): readonly Tag[] {
  if (change.content === 'tag') return [change.tag];
  return change.content === 'manifest' ? change.tags : [];
}

/** A UUID of version 5 (RFC 9562, section 5.5), so that a repeated delivery has the same. */
function idOfTag(namespace: string, tag: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(tag)
    .digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
