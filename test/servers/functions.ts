/** The functions behind a gateway, as a program that can be killed. It listens at PORT. */
import { handler as all } from '../../functions/all.ts';
import { handler as base } from '../../functions/base.ts';
import { handler as blobs } from '../../functions/blobs.ts';
import { handler as catalog } from '../../functions/catalog.ts';
import { handler as manifests } from '../../functions/manifests.ts';
import { handler as search } from '../../functions/search.ts';
import { handler as tags } from '../../functions/tags.ts';
import { handler as uploads } from '../../functions/uploads.ts';
import { startGateway } from './gateway.ts';

await startGateway(
  { all, base, blobs, catalog, manifests, search, tags, uploads },
  Number(process.env['PORT']),
);
