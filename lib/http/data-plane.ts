import { RegistryError } from '../protocol/errors.ts';
import { unrestricted } from '../access/callers.ts';
import type { Writer } from '../registry/url-signer.ts';
import { createApp, type App, type Groups, type Handler, type Handlers } from './app.ts';
import { anonymous } from './audit.ts';
import { uncontrolled, type Admission, type Authorize } from './authorization.ts';
import { blobs, streamBlob } from './blobs.ts';
import { health } from './health.ts';
import { requestTarget } from './request-target.ts';
import type { Services } from './services.ts';
import { readUploadState, uploads } from './uploads.ts';

/** Functions decide who may start an upload. */
const rejectStart: Handler<'uploads'> = () => {
  throw new RegistryError('ROUTE_UNKNOWN');
};

const streamedBlobs: Handlers<'blobs'> = {
  async GET(context) {
    const { registry, route } = context;
    await streamBlob(context, await registry.blobs.stat(route.name, route.digest, { isPulled: true }));
  },

  async HEAD(context) {
    await blobs.HEAD?.(context);
  },
};

/** The HTTP application beside functions: started uploads and blobs, both by signed URLs. */
export function createDataPlane(services: Services): App {
  return createApp(dataPlaneGroups, services, authorizeSigned);
}

/** Without their authorization. */
export const dataPlaneGroups: Groups = {
  health,
  uploads: { ...uploads, POST: rejectStart },
  blobs: streamedBlobs,
};

/** Authorizes by the signature of the URL alone. A blob without one is 404, so that nobody learns whether it exists. */
const authorizeSigned: Authorize = async ({ ctx, route, query }, { urlSigner, warnForeignSignature }) => {
  if (route.group === 'uploads' && route.id !== undefined) {
    const { writer, quota } = urlSigner.readUpload(route.name, route.id, readUploadState(query));
    const admission = writer === undefined ? uncontrolled : admissionOf(writer);
    return await Promise.resolve({ ...admission, quota });
  }
  if (route.group === 'blobs' && !urlSigner.mayReadBlob(route.name, route.digest, query)) {
    const { path } = requestTarget(ctx.req);
    if (urlSigner.isForeign(route.name, route.digest, query)) warnForeignSignature({ path });
    throw new RegistryError('ROUTE_UNKNOWN');
  }
  return uncontrolled;
};

function admissionOf({ actor, rule }: Writer): Admission {
  return { caller: unrestricted(actor === anonymous ? undefined : actor), rule, isControlled: true };
}
