import { assertConditions, entityTag, matchesIfNoneMatch } from '../protocol/conditions.ts';
import { requestedSpan } from '../protocol/ranges.ts';
import type { BlobInfo } from '../registry/interface.ts';
import { conditionsOf, sendEmpty, type RequestContext, type Operations } from './app.ts';

/** `/v2/<name>/blobs/<digest>` (end-2, end-10). */
export const blobs: Operations<'blobs'> = {
  async GET(call) {
    const { ctx, target, registry } = call;
    const blob = await registry.blobs.stat(target.name, target.digest);
    if (hasIt(call, blob)) return;
    const delivery = await deliveryOf(call, blob);
    if (delivery.kind === 'stream') {
      await streamBlob(call, blob);
      return;
    }
    sendEmpty(ctx, 307);
    ctx.set('Docker-Content-Digest', blob.digest);
    ctx.set('Location', delivery.url);
  },

  // Answered here, never redirected: a URL signed for GET is refused for HEAD.
  async HEAD(call) {
    const { ctx, target, registry } = call;
    const blob = await registry.blobs.stat(target.name, target.digest);
    if (hasIt(call, blob)) return;
    ctx.status = 200;
    describe(ctx, blob);
    ctx.length = blob.size;
  },

  async DELETE({ ctx, target: { name, digest }, registry }) {
    await registry.blobs.delete(name, digest, conditionsOf(ctx));
    sendEmpty(ctx, 202);
  },
};

type BlobContext = RequestContext<'blobs'>;

/**
 * How a client gets a blob: from this response, by a redirect to the store, or by one to the data plane. Functions cannot
 * carry a layer.
 */
type Delivery = { readonly kind: 'stream' } | { readonly kind: 'store' | 'data-plane'; readonly url: string };

async function deliveryOf(call: BlobContext, blob: BlobInfo): Promise<Delivery> {
  // Of no bytes there is nothing to fetch elsewhere, where a bucket refuses a range of the last bytes (RFC 9110, 14.1.2).
  if (blob.size === 0) return { kind: 'stream' };
  const { target, registry, urlSigner, urls, redirectEnabled, streams } = call;
  const url = redirectEnabled ? await registry.blobs.url(target.name, blob) : undefined;
  if (url !== undefined) return { kind: 'store', url: url.href };
  if (streams) return { kind: 'stream' };
  const streamed = urls.streamedBlob(
    target.name,
    target.digest,
    urlSigner.signBlob(target.name, target.digest),
  );
  if (streamed === undefined) throw new Error('functions need a store that signs URLs, or a data plane');
  return { kind: 'data-plane', url: streamed };
}

/** Sends the blob, or the part of it that was asked for. */
export async function streamBlob(call: BlobContext, blob: BlobInfo): Promise<void> {
  if (hasIt(call, blob)) return;
  const { ctx, target, registry } = call;
  const span = wantedSpan(ctx, blob);
  ctx.body = blob.size === 0 ? Buffer.alloc(0) : await registry.blobs.open(target.name, blob, span);
  // Not before: an error is not to be kept for a year.
  describe(ctx, blob);
  ctx.set('Content-Type', 'application/octet-stream');
  ctx.length = span === undefined ? blob.size : span.end - span.start + 1;
  if (span === undefined) return;
  ctx.status = 206;
  ctx.set('Content-Range', `bytes ${span.start}-${span.end}/${blob.size}`);
}

/**
 * Answers a client that has the blob already. The digest is a strong validator (RFC 9110, section 13.1.2).
 * @returns whether it does
 * @throws RegistryError PRECONDITION_FAILED when it wants another one, by its If-Match (section 13.1.1)
 */
function hasIt({ ctx }: BlobContext, blob: BlobInfo): boolean {
  assertConditions({ ...conditionsOf(ctx), ifNoneMatch: '' }, blob.digest);
  if (!matchesIfNoneMatch(ctx.get('If-None-Match'), blob.digest)) return false;
  describe(ctx, blob);
  ctx.status = 304;
  return true;
}

function wantedSpan(ctx: BlobContext['ctx'], { digest, size }: BlobInfo): ReturnType<typeof requestedSpan> {
  const condition = ctx.get('If-Range');
  // Only a strong tag will do (RFC 9110, section 13.1.5).
  if (condition !== '' && condition !== entityTag(digest)) return undefined;
  return requestedSpan(ctx.get('Range'), size);
}

function describe(ctx: BlobContext['ctx'], { digest }: BlobInfo): void {
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('Content-Type', 'application/octet-stream');
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('ETag', entityTag(digest));
  ctx.set('Cache-Control', 'max-age=31536000');
}
