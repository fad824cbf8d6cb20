import { Pattern } from '../access/policy/patterns.ts';
import type { EndpointConfig } from '../config/notifications.ts';
import { targetMediaType } from './formats/distribution-event.ts';
import type { Notification } from '../registry/notification.ts';

export type Filter = (notification: Pick<Notification, 'action' | 'change'>) => boolean;

/** Which notifications an endpoint is told of. Deletes have no media type, so none is ignored for it, as in distribution. */
export function createFilter({
  repositories,
  actions,
  ignoredMediaTypes,
}: Pick<EndpointConfig, 'repositories' | 'actions' | 'ignoredMediaTypes'>): Filter {
  const patterns = repositories?.map((text) => new Pattern(text));
  return (notification) => {
    if (!actions.includes(notification.action)) return false;
    const mediaType = targetMediaType(notification);
    if (mediaType !== undefined && ignoredMediaTypes.includes(mediaType)) return false;
    const segments = notification.change.repository.split('/');
    return patterns?.some((pattern) => pattern.matches(segments)) ?? true;
  };
}
