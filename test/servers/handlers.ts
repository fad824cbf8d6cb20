import { handler as all } from '../../functions/all.ts';
import { handler as base } from '../../functions/base.ts';
import { handler as blobs } from '../../functions/blobs.ts';
import { handler as catalog } from '../../functions/catalog.ts';
import { handler as extensions } from '../../functions/extensions.ts';
import { handler as manifests } from '../../functions/manifests.ts';
import { handler as referrers } from '../../functions/referrers.ts';
import { handler as search } from '../../functions/search.ts';
import { handler as tags } from '../../functions/tags.ts';
import { handler as token } from '../../functions/token.ts';
import { handler as uploads } from '../../functions/uploads.ts';
import type { groups } from '../../lib/protocol/routes.ts';

/** The functions that answer requests, by their names. */
export const handlers = {
  all,
  base,
  blobs,
  catalog,
  extensions,
  manifests,
  referrers,
  search,
  tags,
  token,
  uploads,
} satisfies Record<Exclude<(typeof groups)[number], 'health'> | 'all', unknown>;
