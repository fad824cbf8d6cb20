import type { Group, Route } from '../protocol/routes.ts';

/** The handlers that metrics know by name: distribution's, and `other` for paths that are none of the registry's. */
const handlers: Readonly<Record<Exclude<Group, 'uploads' | 'health'>, string>> = {
  base: 'base',
  manifests: 'manifest',
  tags: 'tags',
  blobs: 'blob',
  catalog: 'catalog',
  // These are not distribution's.
  token: 'token',
  extensions: 'extensions',
  search: 'search',
  referrers: 'referrers',
};

/** The label `handler` of a request: one of a dozen names. */
export function handlerLabel(route: Route | undefined): string {
  if (route === undefined || route.group === 'health') return 'other';
  if (route.group !== 'uploads') return handlers[route.group];
  return route.id === undefined ? 'blob_upload' : 'blob_upload_chunk';
}

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The label `method`, in lower case as in distribution; `unknown` for methods that no route has. */
export function methodLabel(method: string): string {
  return methods.has(method) ? method.toLowerCase() : 'unknown';
}
