import type { Group } from '../protocol/routes.ts';

/** Groups whose handlers make changes that endpoints are told of. A function with other groups alone has nothing to do with events. */
export const announcingGroups = ['manifests', 'blobs', 'uploads'] as const satisfies readonly Group[];
