import { RegistryError } from '../protocol/errors.ts';
import type { Groups, Operation, Operations } from './app.ts';
import { blobs, streamBlob } from './blobs.ts';
import { requestTarget } from './request-target.ts';
import { uploads } from './uploads.ts';

/*
 * What the streaming server answers beside functions: uploads that have begun, and blobs by signed URL. Both carry their
 * authority in the URL. All else belongs to the functions.
 */

/** Only uploads that have begun: who may begin one is decided by the functions. */
const begun: Operation<'uploads'> = () => {
  throw new RegistryError('ROUTE_UNKNOWN');
};

const signedBlobs: Operations<'blobs'> = {
  async GET(call) {
    assertSigned(call);
    await streamBlob(call, await call.registry.blobs.stat(call.target.name, call.target.digest));
  },

  async HEAD(call) {
    assertSigned(call);
    await blobs.HEAD?.(call);
  },
};

export const dataPlane: Groups = { uploads: { ...uploads, POST: begun }, blobs: signedBlobs };

/** As if it were not here: whether a blob exists is not told to who may not have it. */
function assertSigned({
  ctx,
  target: { name, digest },
  query,
  urlSigner,
  warnOfForeign,
}: Parameters<Operation<'blobs'>>[0]): void {
  if (urlSigner.mayReadBlob(name, digest, query)) return;
  const { path } = requestTarget(ctx.req);
  if (urlSigner.isForeign(name, digest, query)) warnOfForeign({ path });
  throw new RegistryError('ROUTE_UNKNOWN');
}
