import { assertConditions, entityTag, matchesIfNoneMatch } from '../protocol/conditions.ts';
import { RegistryError } from '../protocol/errors.ts';
import { maxManifestSize, tooLarge } from '../protocol/manifests.ts';
import { acceptOf, type Accept } from '../protocol/negotiation.ts';
import type { Reference } from '../protocol/references.ts';
import { parseTag, type Tag } from '../protocol/tags.ts';
import type { Claim } from '../registry/uploads/buffer-pool.ts';
import type { ManifestInfo } from '../registry/interface.ts';
import { unclaimedBytes } from '../registry/uploads/part-sizes.ts';
import { conditionsOf, type RequestContext, type Handlers } from './app.ts';
import { bodyOf, contentLength } from './body.ts';
import type { Exchange } from './exchange.ts';
import { sendEmpty, warnOfStale } from './send.ts';

/** `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9). */
export const manifests: Handlers<'manifests'> = {
  // HEAD reads the manifest as well: if it reported a damaged one as present, clients would not push it again.
  async GET({ ctx, route: { name, reference }, registry }) {
    const { info, bytes, isStale } = await registry.manifests.get(name, reference, negotiate(ctx, reference));
    if (isStale === true) warnOfStale(ctx);
    if (sendNotModified(ctx, info)) return;
    describe(ctx, info);
    ctx.set('Content-Type', info.mediaType);
    ctx.body = bytes;
  },

  async PUT(context) {
    const { ctx, route, registry, urls, bodies, manifestPushes, query } = context;
    const { name, reference } = route;
    const tags = readTags(query, reference);
    const conditions = conditionsOf(ctx);
    const options = { tags, conditions };
    const type = ctx.get('content-type');
    const { bytes, claim } = await bodies.run(async () => await readManifest(context));
    const push = async () => await registry.manifests.put(name, reference, bytes, type, options);
    const { info, manifest } = await manifestPushes.run(push).finally(() => claim?.release());
    sendEmpty(ctx, 201);
    ctx.set('Location', urls.manifest(name, info.digest));
    ctx.set('Docker-Content-Digest', info.digest);
    // All tags, since a failed one fails the request (end-7b).
    if (tags.length > 0) ctx.set('OCI-Tag', tags.join(', '));
    // The client need not update the referrers tag itself ("Pushing Manifests with Subject").
    if (manifest.subject !== undefined) ctx.set('OCI-Subject', manifest.subject);
  },

  async DELETE({ ctx, route: { name, reference }, registry }) {
    await registry.manifests.delete(name, reference, { conditions: conditionsOf(ctx) });
    sendEmpty(ctx, 202);
  },
};

function describe(ctx: Exchange, { digest }: ManifestInfo): void {
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('ETag', entityTag(digest));
}

/** The response by tag varies by Accept (RFC 9110, section 12.5.5). */
function negotiate(ctx: Exchange, reference: Reference): Accept {
  if (reference.kind === 'tag') ctx.vary('Accept');
  return acceptOf(ctx.get('accept'));
}

/**
 * Responds with 304 if the client has the manifest.
 * @returns whether it has responded
 * @throws RegistryError PRECONDITION_FAILED
 */
function sendNotModified(ctx: Exchange, info: ManifestInfo): boolean {
  assertConditions({ ...conditionsOf(ctx), ifNoneMatch: '' }, info.digest);
  if (!matchesIfNoneMatch(ctx.get('if-none-match'), info.digest)) return false;
  describe(ctx, info);
  ctx.status = 304;
  return true;
}

/** The spec requires 10. 50 take at most 6.5 KB in `OCI-Tag`, of the 10 KB of headers that a gateway allows. */
const maxTags = 50;

/**
 * The tags of a push by digest (end-7b).
 * @throws RegistryError TAG_INVALID, TOO_MANY_TAGS, or QUERY_INVALID for a push by tag
 */
function readTags(query: URLSearchParams, reference: Reference): Tag[] {
  const tags = [...new Set(query.getAll('tag'))];
  if (tags.length === 0) return [];
  if (reference.kind === 'tag')
    throw new RegistryError('QUERY_INVALID', 'the parameter tag is for a push by digest');
  if (tags.length > maxTags)
    throw new RegistryError(
      'TOO_MANY_TAGS',
      `a push may have ${maxTags} tags at most; send the others in another`,
    );
  return tags.map(parseTag);
}

interface ManifestBody {
  readonly bytes: Buffer;
  readonly claim: Claim | undefined;
}

/** @throws RegistryError MANIFEST_TOO_LARGE, BUSY, TOO_SLOW */
async function readManifest(context: RequestContext<'manifests'>): Promise<ManifestBody> {
  const { ctx, limits, bodies, manifestMemory } = context;
  const announced = contentLength(ctx.req);
  if ((announced ?? 0) > maxManifestSize) throw tooLarge();
  const isContended = () => bodies.isContended || manifestMemory.isContended;
  const contention = { rate: limits.contendedBodyRate, isContended };
  const pieces: Uint8Array[] = [];
  let size = 0;
  let claim: Claim | undefined;
  try {
    for await (const piece of bodyOf(ctx.req, limits.bodyRate, { contention })) {
      size += piece.byteLength;
      if (size > maxManifestSize) throw tooLarge();
      if (size > unclaimedBytes) claim ??= await manifestMemory.claim(announced ?? maxManifestSize);
      pieces.push(piece);
    }
    return { bytes: Buffer.concat(pieces), claim };
  } catch (error) {
    claim?.release();
    throw error;
  }
}
