import { assertConditions, entityTag, matchesIfNoneMatch } from '../protocol/conditions.ts';
import { requestedSpan } from '../protocol/ranges.ts';
import type { BlobInfo } from '../registry/interface.ts';
import { conditionsOf, type RequestContext, type Handlers } from './app.ts';
import { sendEmpty } from './send.ts';

/** `/v2/<name>/blobs/<digest>` (end-2, end-10). */
export const blobs: Handlers<'blobs'> = {
  async GET(context) {
    const { ctx, route, registry } = context;
    const blob = await registry.blobs.stat(route.name, route.digest, { isPulled: true });
    if (sendNotModified(context, blob)) return;
    const delivery = await deliveryOf(context, blob);
    if (delivery.kind === 'stream') {
      await streamBlob(context, blob);
      return;
    }
    sendEmpty(ctx, 307);
    ctx.set('Docker-Content-Digest', blob.digest);
    ctx.set('Location', delivery.url);
  },

  // Never redirected: a URL signed for GET is invalid for HEAD.
  async HEAD(context) {
    const { ctx, route, registry } = context;
    // Clients ask before they push a blob, and most of those are new.
    const blob = await registry.blobs.stat(route.name, route.digest, {
      isExpected: false,
      hidesCondemned: true,
    });
    if (sendNotModified(context, blob)) return;
    ctx.status = 200;
    describe(ctx, blob);
    ctx.length = blob.size;
  },

  async DELETE({ ctx, route: { name, digest }, registry }) {
    await registry.blobs.delete(name, digest, { conditions: conditionsOf(ctx) });
    sendEmpty(ctx, 202);
  },
};

type BlobContext = RequestContext<'blobs'>;

/** How a client gets a blob: in this response, or by a redirect to the store or the data plane. */
type Delivery = { readonly kind: 'stream' } | { readonly kind: 'store' | 'data-plane'; readonly url: string };

async function deliveryOf(context: BlobContext, blob: BlobInfo): Promise<Delivery> {
  // An empty blob needs no redirect; buckets reject suffix ranges of empty objects (RFC 9110, section 14.1.2).
  if (blob.size === 0) return { kind: 'stream' };
  const { route, registry, urlSigner, urls, redirectEnabled, streams } = context;
  const url = redirectEnabled ? await registry.blobs.url(route.name, blob) : undefined;
  if (url !== undefined) return { kind: 'store', url: url.href };
  if (streams) return { kind: 'stream' };
  const streamed = urls.streamedBlob(route.name, route.digest, urlSigner.signBlob(route.name, route.digest));
  if (streamed === undefined) throw new Error('functions need a store that signs URLs, or a data plane');
  return { kind: 'data-plane', url: streamed };
}

/** Sends the blob or the requested range. */
export async function streamBlob(context: BlobContext, blob: BlobInfo): Promise<void> {
  if (sendNotModified(context, blob)) return;
  const { ctx, route, registry } = context;
  const span = wantedSpan(ctx, blob);
  ctx.body = blob.size === 0 ? Buffer.alloc(0) : await registry.blobs.open(route.name, blob, span);
  // Only now, so that an error gets no cache headers.
  describe(ctx, blob);
  ctx.set('Content-Type', 'application/octet-stream');
  ctx.length = span === undefined ? blob.size : span.end - span.start + 1;
  if (span === undefined) return;
  ctx.status = 206;
  ctx.set('Content-Range', `bytes ${span.start}-${span.end}/${blob.size}`);
}

/**
 * Responds with 304 if the client has the blob. The digest is a strong validator (RFC 9110, section 13.1).
 * @returns whether it has responded
 * @throws RegistryError PRECONDITION_FAILED
 */
function sendNotModified({ ctx }: BlobContext, blob: BlobInfo): boolean {
  assertConditions({ ...conditionsOf(ctx), ifNoneMatch: '' }, blob.digest);
  if (!matchesIfNoneMatch(ctx.get('if-none-match'), blob.digest)) return false;
  describe(ctx, blob);
  ctx.status = 304;
  return true;
}

function wantedSpan(ctx: BlobContext['ctx'], { digest, size }: BlobInfo): ReturnType<typeof requestedSpan> {
  const condition = ctx.get('if-range');
  // Only a strong validator matches (RFC 9110, section 13.1.5).
  if (condition !== '' && condition !== entityTag(digest)) return undefined;
  return requestedSpan(ctx.get('range'), size);
}

function describe(ctx: BlobContext['ctx'], { digest }: BlobInfo): void {
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('Content-Type', 'application/octet-stream');
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('ETag', entityTag(digest));
  ctx.set('Cache-Control', 'max-age=31536000');
}
