import { randomUUID } from 'node:crypto';
import type { Tag } from '../protocol/tags.ts';
import type { RegistryEvent } from './events.ts';
import { notificationsOf } from './notifications-of.ts';
import type { Notification } from './notification.ts';
import type { Change } from './outbox/change.ts';
import type { Source } from './outbox/intent.ts';
import { describePush } from './outbox/describe-push.ts';

/** What subscribers in this process are told of an operation: the same as endpoints, under other ids, since there need be no intent. */
export function notificationsOfEvents(
  events: readonly RegistryEvent[],
  source: Source,
): readonly Notification[] {
  const tags = events.flatMap((event) => (event.action === 'tagged' ? [event.reference.tag] : []));
  return events.flatMap((event) => {
    const { actor, request } = event;
    const about = { id: randomUUID(), at: new Date(), context: { actor, request }, source };
    if (event.action === 'pulled') return [{ ...about, ...pulled(event) }];
    const change = changeOf(event, tags);
    return change === undefined ? [] : notificationsOf({ ...about, change });
  });
}

function pulled({
  content,
  repository,
  descriptor: { digest, mediaType, size },
  reference,
  isStale = false,
}: RegistryEvent & { readonly action: 'pulled' }): Pick<Notification, 'action' | 'tag' | 'change'> {
  return {
    action: 'pull',
    tag: reference.kind === 'tag' ? reference.tag : undefined,
    change: { action: 'pulled', content, repository, digest, mediaType, size, ...(isStale && { isStale }) },
  };
}

/** @param tags that the operation has pointed at its manifest @returns undefined if it has changed nothing, or another event tells of it */
function changeOf(
  event: Exclude<RegistryEvent, { readonly action: 'pulled' }>,
  tags: readonly Tag[],
): Change | undefined {
  const { action, repository } = event;
  switch (action) {
    case 'tagged':
      return undefined;
    case 'pushed': {
      const { descriptor } = event;
      if (event.content === 'manifest')
        return describePush({ repository, info: descriptor, bytes: event.bytes, tags });
      return { action, content: 'blob', repository, digest: descriptor.digest, size: descriptor.size };
    }
    case 'mounted': {
      const { from, descriptor } = event;
      const { digest, size } = descriptor;
      return from && { action, content: 'blob', repository, digest, size, from };
    }
    case 'deleted': {
      const { content, reference } = event;
      if (reference.kind === 'tag')
        return { action, content: 'tag', repository, tag: reference.tag, digest: undefined };
      const { digest } = reference;
      return content === 'blob'
        ? { action, content, repository, digest }
        : { action, content, repository, digest, tags: [] };
    }
  }
}
