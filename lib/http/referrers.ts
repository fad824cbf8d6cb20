import { parseDigest } from '../protocol/digests.ts';
import { nextPageLink, parsePage } from '../protocol/pages.ts';
import { readOnce } from '../protocol/queries.ts';
import { referrersMediaType } from '../protocol/referrers.ts';
import type { Handlers } from './app.ts';
import { sendJson, warnOfStale } from './send.ts';

/** The page size without `n`. Each referrer costs two requests to the bucket. */
const defaultPage = 100;

/** `/v2/<name>/referrers/<digest>`: manifests with this subject (end-12a, end-12b). */
export const referrers: Handlers<'referrers'> = {
  async GET({ ctx, route: { name, digest }, registry, query, urls }) {
    const { n, last } = parsePage(query, defaultPage);
    // An empty value, as from an unset shell variable, is no filter.
    const type = readOnce(query, 'artifactType') ?? '';
    const artifactType = type === '' ? undefined : type;
    const page = { n, last: last === '' ? undefined : parseDigest(last) };
    const listed = await registry.referrers.list(name, digest, page, artifactType);
    const { descriptors, next, isStale } = listed;
    if (isStale === true) warnOfStale(ctx);
    // Never 404, which would mean that the endpoint is not supported ("Listing Referrers").
    if (artifactType !== undefined) ctx.set('OCI-Filters-Applied', 'artifactType');
    if (next !== undefined) {
      const filter: Record<string, string> = artifactType === undefined ? {} : { artifactType };
      ctx.set('Link', nextPageLink(urls.path(`/v2/${name}/referrers/${digest}`), { n, last: next }, filter));
    }
    const index = { schemaVersion: 2, mediaType: referrersMediaType, manifests: descriptors };
    sendJson(ctx, index, referrersMediaType);
  },
};
