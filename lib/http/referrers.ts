import { parseDigest } from '../protocol/digests.ts';
import { nextPageLink, parsePage } from '../protocol/pages.ts';
import { readOnce } from '../protocol/queries.ts';
import { referrersMediaType } from '../protocol/referrers.ts';
import type { Operations } from './app.ts';

/** Referrers of a page when `n` is not given: each that is looked at costs two requests to the bucket. */
const defaultPage = 100;

/** `/v2/<name>/referrers/<digest>`: the manifests about another one (end-12a, end-12b). */
export const referrers: Operations<'referrers'> = {
  async GET({ ctx, target: { name, digest }, registry, query }) {
    const { n, last } = parsePage(query, defaultPage);
    // An empty one, as of a shell variable that is not set, is no filter.
    const type = readOnce(query, 'artifactType') ?? '';
    const artifactType = type === '' ? undefined : type;
    const page = { n, last: last === '' ? undefined : parseDigest(last) };
    const { descriptors, next } = await registry.referrers.list(name, digest, page, artifactType);
    // Also where there is no such repository: 404 would say that there is no such endpoint ("Listing Referrers").
    if (artifactType !== undefined) ctx.set('OCI-Filters-Applied', 'artifactType');
    if (next !== undefined) {
      const filter: Record<string, string> = artifactType === undefined ? {} : { artifactType };
      ctx.set('Link', nextPageLink(`/v2/${name}/referrers/${digest}`, { n, last: next }, filter));
    }
    ctx.body = JSON.stringify({ schemaVersion: 2, mediaType: referrersMediaType, manifests: descriptors });
    ctx.set('Content-Type', referrersMediaType);
  },
};
