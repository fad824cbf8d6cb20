import {
  canonicalAlgorithm,
  digestOrUndefined,
  digestParts,
  parseAlgorithm,
  parseDigest,
  type Algorithm,
  type Digest,
} from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { isRepositoryName } from '../protocol/names.ts';
import { readOnce } from '../protocol/queries.ts';
import { parseContentRange, uploadRange } from '../protocol/ranges.ts';
import { digestOf } from '../registry/uploads/content-hash.ts';
import { OffsetMismatch, type Chunk } from '../registry/interface.ts';
import type { Writer } from '../registry/url-signer.ts';
import { methodNotAllowed, type RequestContext, type Handlers } from './app.ts';
import { anonymous } from './audit.ts';
import type { Admission } from './authorization.ts';
import { bodyOf, contentLength, hasBody } from './body.ts';
import { sendEmpty } from './send.ts';

type UploadContext = RequestContext<'uploads'>;

/** `/v2/<name>/blobs/uploads/` (end-4, end-11) and `/v2/<name>/blobs/uploads/<id>` (end-5, end-6, end-13, end-14). */
export const uploads: Handlers<'uploads'> = {
  async POST(context) {
    assertNoId(context);
    const { registry, requests, route } = context;
    if (await requests.lookUp(async () => await mount(context))) return;
    if (await putWhole(context)) return;
    const algorithm = readAlgorithm(context.query);
    const id = await requests.lookUp(async () => await registry.uploads.start(route.name, algorithm));
    sendEmpty(context.ctx, 202);
    setUploadHeaders(context, id, 0);
    // Clients use it as their chunk size (end-4a).
    if (context.chunkSize !== undefined) context.ctx.set('OCI-Chunk-Min-Length', String(context.chunkSize));
  },

  async GET(context) {
    const { id } = readState(context);
    // Limited, since reading a session loads the bytes of a part.
    const status = async () => await context.registry.uploads.status(context.route.name, id);
    const offset = await context.bodies.run(status);
    sendEmpty(context.ctx, 204);
    setUploadHeaders(context, id, offset);
  },

  async PATCH(context) {
    const { id, offset } = readState(context);
    const chunk = readChunk(context, offset);
    const append = async () => await context.registry.uploads.append(context.route.name, id, chunk);
    const received = await withOffsetHeaders(context, id, context.bodies.run(append));
    sendEmpty(context.ctx, 202);
    setUploadHeaders(context, id, received);
  },

  async PUT(context) {
    const { id, offset } = readState(context);
    const digest = readDigest(context.query);
    const last = (await hasBody(context.ctx.req, context.limits.bodyRate))
      ? readChunk(context, offset)
      : undefined;
    const finish = async () => {
      await context.registry.uploads.finish(context.route.name, id, digest, last);
    };
    await withOffsetHeaders(context, id, context.bodies.run(finish));
    sendCreated(context, digest);
  },

  async DELETE(context) {
    const { id } = readState(context);
    await context.bodies.run(async () => {
      await context.registry.uploads.cancel(context.route.name, id);
    });
    sendEmpty(context.ctx, 204);
  },
};

/** Mounts a blob of another repository (end-11). Invalid requests fall back to an ordinary upload, as in the spec. */
async function mount(context: UploadContext): Promise<boolean> {
  const { route, query, registry } = context;
  const digest = readMounted(query);
  const [from, ...others] = new Set(query.getAll('from'));
  if (digest === undefined || others.length > 0) return false;
  const mounted =
    from === undefined
      ? await registry.blobs.mountFromAnywhere(route.name, digest)
      : isRepositoryName(from)
        ? await registry.blobs.mount(route.name, digest, from)
        : undefined;
  if (mounted === undefined) return false;
  sendCreated(context, digest);
  return true;
}

function readMounted(query: URLSearchParams): Digest | undefined {
  const [mounted, ...others] = new Set(query.getAll('mount'));
  return others.length > 0 ? undefined : digestOrUndefined(mounted);
}

/** Takes the whole blob in one request (end-4b). With a digest but without a body, an ordinary upload starts. */
async function putWhole(context: UploadContext): Promise<boolean> {
  const { ctx, route, query, registry, bodies, limits } = context;
  if (!query.has('digest')) return false;
  const digest = readDigest(query);
  if (
    !(await hasBody(ctx.req, limits.bodyRate)) &&
    digest !== digestOf(nothing, digestParts(digest).algorithm)
  )
    return false;
  await bodies.run(async () => {
    const body = blobBody(context);
    await registry.uploads.put(route.name, digest, { body, length: contentLength(ctx.req) });
  });
  sendCreated(context, digest);
  return true;
}

const nothing = new Uint8Array();

/** The id and the signed offset of the upload's Location. */
function readState({ route: { name, id }, query, urlSigner }: UploadContext): {
  id: string;
  offset: number;
} {
  if (id === undefined) throw methodNotAllowed('start an upload with POST', ['POST']);
  return { id, ...urlSigner.readUpload(name, id, readUploadState(query)) };
}

/** @throws RegistryError BLOB_UPLOAD_INVALID if there are two */
export function readUploadState(query: URLSearchParams): string | null {
  return readOnce(query, '_state', 'BLOB_UPLOAD_INVALID');
}

function assertNoId({ route: { id } }: UploadContext): void {
  if (id !== undefined)
    throw methodNotAllowed('an upload takes GET, PATCH, PUT and DELETE', ['GET', 'PATCH', 'PUT', 'DELETE']);
}

/** May be repeated: containerd appends it to a Location that has it. */
function readDigest(query: URLSearchParams): Digest {
  const digest = readOnce(query, 'digest', 'DIGEST_INVALID');
  if (digest === null)
    throw new RegistryError('DIGEST_INVALID', 'the query must have digest=<algorithm>:<hex>');
  return parseDigest(digest);
}

/** From `digest-algorithm` (end-4c), or the digest to upload or mount. */
function readAlgorithm(query: URLSearchParams): Algorithm {
  const algorithm = readOnce(query, 'digest-algorithm', 'DIGEST_INVALID');
  if (algorithm !== null) return parseAlgorithm(algorithm);
  const announced = readOnce(query, 'digest', 'DIGEST_INVALID');
  const digest = announced === null ? readMounted(query) : parseDigest(announced);
  return digest === undefined ? canonicalAlgorithm : digestParts(digest).algorithm;
}

/** A body without Content-Range, as docker sends, starts at the offset of its Location. */
function readChunk(context: UploadContext, offset: number): Chunk {
  const { ctx } = context;
  const header = ctx.get('content-range');
  const length = contentLength(ctx.req);
  const body = blobBody(context);
  if (header === '') return { body, start: offset, length, partial: false };
  const span = parseContentRange(header);
  const spanned = span.end - span.start + 1;
  if (length !== undefined && length !== spanned)
    throw new RegistryError(
      'SIZE_INVALID',
      `Content-Range has ${spanned} bytes but Content-Length says ${length}`,
    );
  return { body, start: span.start, length: spanned, partial: true };
}

function blobBody({ ctx, limits, bodies }: UploadContext): AsyncIterable<Uint8Array> {
  const contention = { rate: limits.contendedBodyRate, isContended: () => bodies.isContended };
  return bodyOf(ctx.req, limits.bodyRate, { contention, freesPieces: true });
}

/** Adds the current offset to an error, so that clients such as regctl can resume. */
async function withOffsetHeaders<T>(context: UploadContext, id: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof OffsetMismatch) setUploadHeaders(context, id, error.offset);
    throw error;
  }
}

/** Renews the signature, so that an upload expires a day after its last request. */
function setUploadHeaders(
  { ctx, route: { name }, urlSigner, urls, admission, quota }: UploadContext,
  id: string,
  offset: number,
): void {
  const state = { offset, writer: writerOf(admission), quota };
  ctx.set('Location', urls.upload(name, id, urlSigner.signUpload(name, id, state)));
  ctx.set('Range', uploadRange(offset));
  ctx.set('Docker-Upload-UUID', id);
}

/** For the audit log of a data plane, which gets no credentials. */
function writerOf({ isControlled, caller, rule }: Admission): Writer | undefined {
  return isControlled ? { actor: caller.actor ?? anonymous, rule } : undefined;
}

function sendCreated({ ctx, route: { name }, urls }: UploadContext, digest: Digest): void {
  sendEmpty(ctx, 201);
  ctx.set('Location', urls.blob(name, digest));
  ctx.set('Docker-Content-Digest', digest);
}
