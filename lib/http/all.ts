import type { Groups } from './app.ts';
import { base } from './base.ts';
import { blobs } from './blobs.ts';
import { catalog } from './catalog.ts';
import { extensions } from './extensions.ts';
import { health } from './health.ts';
import { manifests } from './manifests.ts';
import { referrers } from './referrers.ts';
import { search } from './search.ts';
import { tags } from './tags.ts';
import { token } from './token.ts';
import { uploads } from './uploads.ts';

/** The whole registry, for the streaming server and for the function `all`. */
export const all: Groups = {
  health,
  base,
  extensions,
  catalog,
  search,
  tags,
  manifests,
  referrers,
  blobs,
  uploads,
  token,
};
