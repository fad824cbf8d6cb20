import type { Method } from '../../lib/http/app.ts';
import type { Group } from '../../lib/protocol/routes.ts';

/** What each endpoint asks for, written down apart from the code. */
export type Need = 'nothing' | 'login' | 'catalog' | 'pull' | 'push' | 'delete';

export const digest = `sha256:${'0'.repeat(64)}`;

/** A path of each group, and what each of its methods needs. The compiler asks for new groups here, and the first test for methods. */
export const endpoints: Readonly<
  Record<Group, { readonly path: string; readonly needs: Partial<Record<Method, Need>> }>
> = {
  health: { path: '/readyz', needs: { GET: 'nothing', HEAD: 'nothing' } },
  token: { path: '/token', needs: { GET: 'nothing', HEAD: 'nothing', POST: 'nothing' } },
  base: { path: '/v2/', needs: { GET: 'login', HEAD: 'login' } },
  extensions: { path: '/v2/_oci/ext/discover', needs: { GET: 'login', HEAD: 'login' } },
  catalog: { path: '/v2/_catalog', needs: { GET: 'catalog', HEAD: 'catalog' } },
  search: { path: '/v1/search?q=app', needs: { GET: 'catalog', HEAD: 'catalog' } },
  tags: { path: '/v2/team/app/tags/list', needs: { GET: 'pull', HEAD: 'pull' } },
  referrers: { path: `/v2/team/app/referrers/${digest}`, needs: { GET: 'pull', HEAD: 'pull' } },
  manifests: {
    path: '/v2/team/app/manifests/v1',
    needs: { GET: 'pull', HEAD: 'pull', PUT: 'push', DELETE: 'delete' },
  },
  blobs: { path: `/v2/team/app/blobs/${digest}`, needs: { GET: 'pull', HEAD: 'pull', DELETE: 'delete' } },
  uploads: {
    path: '/v2/team/app/blobs/uploads/?_state=x',
    needs: { POST: 'push', GET: 'push', HEAD: 'push', PATCH: 'push', PUT: 'push', DELETE: 'push' },
  },
};

/** Every method of every endpoint. */
export const requests = (Object.keys(endpoints) as Group[]).flatMap((group) =>
  Object.entries(endpoints[group].needs).map(([method, need]) => ({
    group,
    method,
    need,
    path: endpoints[group].path,
  })),
);
