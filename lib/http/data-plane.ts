import { RegistryError } from '../protocol/errors.ts';
import type { Groups, Handler, Handlers } from './app.ts';
import { blobs, streamBlob } from './blobs.ts';
import { requestTarget } from './request-target.ts';
import { uploads } from './uploads.ts';

/** Functions decide who may start an upload. */
const rejectStart: Handler<'uploads'> = () => {
  throw new RegistryError('ROUTE_UNKNOWN');
};

const signedBlobs: Handlers<'blobs'> = {
  async GET(context) {
    assertSigned(context);
    await streamBlob(context, await context.registry.blobs.stat(context.route.name, context.route.digest));
  },

  async HEAD(context) {
    assertSigned(context);
    await blobs.HEAD?.(context);
  },
};

/** What the streaming server serves beside functions: started uploads and blobs, both by signed URLs. */
export const dataPlane: Groups = { uploads: { ...uploads, POST: rejectStart }, blobs: signedBlobs };

/** 404 without a valid signature, so that the response does not reveal whether the blob exists. */
function assertSigned({
  ctx,
  route: { name, digest },
  query,
  urlSigner,
  warnForeignSignature,
}: Parameters<Handler<'blobs'>>[0]): void {
  if (urlSigner.mayReadBlob(name, digest, query)) return;
  const { path } = requestTarget(ctx.req);
  if (urlSigner.isForeign(name, digest, query)) warnForeignSignature({ path });
  throw new RegistryError('ROUTE_UNKNOWN');
}
