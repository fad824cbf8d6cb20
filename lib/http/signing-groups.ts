import type { Group } from '../protocol/routes.ts';

/**
 * Groups whose handlers use `REGISTRY_HTTP_SECRET`: it signs uploads and URLs of blobs, and hides the name at which a page of the
 * catalog ends. A function with other groups alone has no use for it, and whoever took over that function could forge signatures.
 */
export const signingGroups = ['catalog', 'blobs', 'uploads'] as const satisfies readonly Group[];
