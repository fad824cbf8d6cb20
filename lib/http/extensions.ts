import type { Handlers } from './app.ts';
import { sendJson } from './send.ts';

/** The same for the registry and for each repository. */
const list = {
  extensions: [
    {
      name: '_oci',
      description: 'lists the extensions of this registry',
      url: 'https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md',
      endpoints: ['_oci/ext/discover'],
    },
    {
      name: '_catalog',
      description: 'lists the repositories of this registry, in pages with n and last',
      url: 'https://distribution.github.io/distribution/spec/api/#listing-repositories',
      endpoints: ['_catalog'],
    },
  ],
};

/** `/v2/_oci/ext/discover` and `/v2/<name>/_oci/ext/discover` (OCI Distribution Spec, extensions/_oci.md). */
export const extensions: Handlers<'extensions'> = {
  GET({ ctx }) {
    sendJson(ctx, list);
  },
};
