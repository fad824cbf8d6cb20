import type { Context } from 'koa';
import { maxManifestSize, tooLarge } from '../lib/protocol/manifests.ts';
import type { ManifestInfo } from '../lib/registry/manifests.ts';
import { notTaken, sendEmpty, type Call, type Operations } from './app.ts';
import { bodyOf, contentLength } from './body.ts';
import { recordPush } from './keep-in-step.ts';
import { lambdaHandler } from './lambda.ts';

/** `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9). */
export const manifests: Operations<'manifests'> = {
  async GET({ ctx, target: { name, reference }, registry }) {
    const { info, bytes } = await registry.manifests.get(name, reference);
    describe(ctx, info);
    ctx.body = bytes;
    ctx.set('Content-Type', info.mediaType);
  },

  async HEAD({ ctx, target: { name, reference }, registry }) {
    const info = await registry.manifests.stat(name, reference);
    ctx.status = 200;
    describe(ctx, info);
    ctx.set('Content-Type', info.mediaType);
    ctx.length = info.size;
  },

  async PUT(call) {
    const { ctx, target, registry, urls, seats } = call;
    const { name, reference } = target;
    const bytes = await seats.during(async () => await readManifest(call));
    const { info } = await registry.manifests.put(name, reference, bytes, ctx.get('Content-Type'));
    if (reference.kind === 'tag') await recordPush(call, name);
    sendEmpty(ctx, 201);
    ctx.set('Location', urls.manifest(name, info.digest));
    ctx.set('Docker-Content-Digest', info.digest);
  },

  async DELETE({ ctx, target: { name, reference }, registry, deleteEnabled }) {
    if (!deleteEnabled) throw notTaken(ctx, 'deleting is disabled in this registry', ['GET', 'HEAD', 'PUT']);
    await registry.manifests.delete(name, reference);
    sendEmpty(ctx, 202);
  },
};

export const handler = lambdaHandler({ manifests });

function describe(ctx: Context, { digest }: ManifestInfo): void {
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('ETag', `"${digest}"`);
}

/** @throws RegistryError MANIFEST_TOO_LARGE as soon as there is too much */
async function readManifest({ ctx: { req }, limits }: Call<'manifests'>): Promise<Buffer> {
  if ((contentLength(req) ?? 0) > maxManifestSize) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of bodyOf(req, limits.pace)) {
    size += piece.byteLength;
    if (size > maxManifestSize) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
