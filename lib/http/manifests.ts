import type { Context } from 'koa';
import { assertConditions, entityTag, matchesIfNoneMatch } from '../protocol/conditions.ts';
import { RegistryError } from '../protocol/errors.ts';
import { maxManifestSize, tooLarge } from '../protocol/manifests.ts';
import { Accept } from '../protocol/negotiation.ts';
import type { Reference } from '../protocol/references.ts';
import { parseTag, type Tag } from '../protocol/tags.ts';
import type { Claim } from '../registry/uploads/buffer-pool.ts';
import type { ManifestInfo } from '../registry/interface.ts';
import { unclaimedBytes } from '../registry/uploads/part-writer.ts';
import { conditionsOf, sendEmpty, type RequestContext, type Operations } from './app.ts';
import { bodyOf, contentLength } from './body.ts';

/** `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9). */
export const manifests: Operations<'manifests'> = {
  /*
   * And HEAD, which reads the manifest all the same: one that is damaged would be there for who only asks, and clients that
   * look before they push would not mend it.
   */
  async GET({ ctx, target: { name, reference }, registry }) {
    const { info, bytes } = await registry.manifests.get(name, reference, negotiate(ctx, reference));
    if (hasIt(ctx, info)) return;
    describe(ctx, info);
    ctx.body = bytes;
    ctx.set('Content-Type', info.mediaType);
  },

  async PUT(call) {
    const { ctx, target, registry, urls, bodies, manifestPushes, query } = call;
    const { name, reference } = target;
    const tags = readTags(query, reference);
    const conditions = conditionsOf(ctx);
    const options = { tags, conditions };
    const type = ctx.get('Content-Type');
    const { bytes, claim } = await bodies.run(async () => await readManifest(call));
    const push = async () => await registry.manifests.put(name, reference, bytes, type, options);
    const { info, manifest } = await manifestPushes.run(push).finally(() => claim?.release());
    sendEmpty(ctx, 201);
    ctx.set('Location', urls.manifest(name, info.digest));
    ctx.set('Docker-Content-Digest', info.digest);
    // All of them: where one could not be moved, the answer is an error (end-7b).
    if (tags.length > 0) ctx.set('OCI-Tag', tags.join(', '));
    // Tells clients that they need not keep a list of referrers themselves ("Pushing Manifests with Subject").
    if (manifest.subject !== undefined) ctx.set('OCI-Subject', manifest.subject);
  },

  async DELETE({ ctx, target: { name, reference }, registry }) {
    await registry.manifests.delete(name, reference, conditionsOf(ctx));
    sendEmpty(ctx, 202);
  },
};

function describe(ctx: Context, { digest }: ManifestInfo): void {
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('ETag', entityTag(digest));
}

/** What a client takes. What it gets by a tag depends on that, which caches must know (RFC 9110, section 12.5.5). */
function negotiate(ctx: Context, reference: Reference): Accept {
  if (reference.kind === 'tag') ctx.vary('Accept');
  return new Accept(ctx.get('Accept'));
}

/**
 * Answers a client that has the manifest already.
 * @returns whether it does
 * @throws RegistryError PRECONDITION_FAILED when it wants another one, by its If-Match
 */
function hasIt(ctx: Context, info: ManifestInfo): boolean {
  assertConditions({ ...conditionsOf(ctx), ifNoneMatch: '' }, info.digest);
  if (!matchesIfNoneMatch(ctx.get('If-None-Match'), info.digest)) return false;
  describe(ctx, info);
  ctx.status = 304;
  return true;
}

/** The spec asks for 10 at least. 50 are 6.5 KB at most in `OCI-Tag`, of the 10 KB of headers that a gateway takes. */
const maxTags = 50;

/**
 * The tags of a push by digest (end-7b).
 * @throws RegistryError TAG_INVALID, TOO_MANY_TAGS, and QUERY_INVALID beside a tag, where they mean nothing
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

/** A manifest in memory, and what was claimed for it. */
interface ManifestBody {
  readonly bytes: Buffer;
  readonly claim: Claim | undefined;
}

/** @throws RegistryError MANIFEST_TOO_LARGE as soon as there is too much, BUSY */
async function readManifest(call: RequestContext<'manifests'>): Promise<ManifestBody> {
  const { ctx, limits, bodies, manifestMemory } = call;
  const announced = contentLength(ctx.req);
  if ((announced ?? 0) > maxManifestSize) throw tooLarge();
  const isContended = () => bodies.isContended || manifestMemory.isContended;
  const contention = { pace: limits.contendedBodyRate, isContended };
  const pieces: Uint8Array[] = [];
  let size = 0;
  let claim: Claim | undefined;
  try {
    for await (const piece of bodyOf(ctx.req, limits.bodyRate, contention)) {
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
