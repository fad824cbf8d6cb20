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
import { methodNotAllowed, sendEmpty, type RequestContext, type Operations } from './app.ts';
import { bodyOf, contentLength, hasBody } from './body.ts';

type UploadContext = RequestContext<'uploads'>;

/** `/v2/<name>/blobs/uploads/` (end-4, end-11) and `/v2/<name>/blobs/uploads/<id>` (end-5, end-6, end-13, end-14). */
export const uploads: Operations<'uploads'> = {
  async POST(call) {
    assertNoId(call);
    const { registry, requests, target } = call;
    if (await requests.lookUp(async () => await mount(call))) return;
    if (await putWhole(call)) return;
    const algorithm = readAlgorithm(call.query);
    const id = await requests.lookUp(async () => await registry.uploads.start(target.name, algorithm));
    sendEmpty(call.ctx, 202);
    tellState(call, id, 0);
    // Clients that choose the size of their chunks choose this (end-4a).
    if (call.chunkSize !== undefined) call.ctx.set('OCI-Chunk-Min-Length', String(call.chunkSize));
  },

  async GET(call) {
    const { id } = readState(call);
    // A session has the bytes of a part in it.
    const status = async () => await call.registry.uploads.status(call.target.name, id);
    const offset = await call.bodies.run(status);
    sendEmpty(call.ctx, 204);
    tellState(call, id, offset);
  },

  async PATCH(call) {
    const { id, offset } = readState(call);
    const chunk = readChunk(call, offset);
    const append = async () => await call.registry.uploads.append(call.target.name, id, chunk);
    const received = await orTellOffset(call, id, call.bodies.run(append));
    sendEmpty(call.ctx, 202);
    tellState(call, id, received);
  },

  async PUT(call) {
    const { id, offset } = readState(call);
    const digest = readDigest(call.query);
    const last = (await hasBody(call.ctx.req, call.limits.bodyRate)) ? readChunk(call, offset) : undefined;
    const finish = async () => {
      await call.registry.uploads.finish(call.target.name, id, digest, last);
    };
    await orTellOffset(call, id, call.bodies.run(finish));
    tellBlob(call, digest);
  },

  async DELETE(call) {
    const { id } = readState(call);
    await call.bodies.run(async () => {
      await call.registry.uploads.cancel(call.target.name, id);
    });
    sendEmpty(call.ctx, 204);
  },
};

/**
 * Where a blob is already in another repository, no byte need be sent (end-11). Whatever else is asked for, such as no digest
 * or one from two repositories, cannot be mounted: it is an ordinary upload, as the spec says.
 */
async function mount(call: UploadContext): Promise<boolean> {
  const { target, query, registry } = call;
  const digest = readMounted(query);
  const [from, ...others] = new Set(query.getAll('from'));
  if (digest === undefined || others.length > 0) return false;
  // Once there are users: only from repositories that this one may read.
  const mounted =
    from === undefined
      ? await registry.blobs.mountFromAnywhere(target.name, digest)
      : isRepositoryName(from)
        ? await registry.blobs.mount(target.name, digest, from)
        : undefined;
  if (mounted === undefined) return false;
  tellBlob(call, digest);
  return true;
}

/** The digest that is to be mounted, if there is just one. */
function readMounted(query: URLSearchParams): Digest | undefined {
  const [mounted, ...others] = new Set(query.getAll('mount'));
  return others.length > 0 ? undefined : digestOrUndefined(mounted);
}

/** The whole blob in the one request (end-4b). With nothing but the announcement of a digest, an upload begins. */
async function putWhole(call: UploadContext): Promise<boolean> {
  const { ctx, target, query, registry, bodies, limits } = call;
  if (!query.has('digest')) return false;
  const digest = readDigest(query);
  if (
    !(await hasBody(ctx.req, limits.bodyRate)) &&
    digest !== digestOf(nothing, digestParts(digest).algorithm)
  )
    return false;
  await bodies.run(async () => {
    const body = blobBody(call);
    await registry.uploads.put(target.name, digest, { body, length: contentLength(ctx.req) });
  });
  tellBlob(call, digest);
  return true;
}

const nothing = new Uint8Array();

/** The id of the upload and the offset its Location was made at; nothing else is believed before its signature. */
function readState({ target: { name, id }, query, urlSigner }: UploadContext): {
  id: string;
  offset: number;
} {
  if (id === undefined) throw methodNotAllowed('start an upload with POST', ['POST']);
  return { id, ...urlSigner.readUpload(name, id, readOnce(query, '_state', 'BLOB_UPLOAD_INVALID')) };
}

function assertNoId({ target: { id } }: UploadContext): void {
  if (id !== undefined)
    throw methodNotAllowed('an upload takes GET, PATCH, PUT and DELETE', ['GET', 'PATCH', 'PUT', 'DELETE']);
}

/** Some clients send the digest twice: containerd adds it to a Location that has it. */
function readDigest(query: URLSearchParams): Digest {
  const digest = readOnce(query, 'digest', 'DIGEST_INVALID');
  if (digest === null)
    throw new RegistryError('DIGEST_INVALID', 'the query must have digest=<algorithm>:<hex>');
  return parseDigest(digest);
}

/** What the digest will be in (end-4c); one that is announced, or was to be mounted, says it as well. */
function readAlgorithm(query: URLSearchParams): Algorithm {
  const algorithm = readOnce(query, 'digest-algorithm', 'DIGEST_INVALID');
  if (algorithm !== null) return parseAlgorithm(algorithm);
  const announced = readOnce(query, 'digest', 'DIGEST_INVALID');
  const digest = announced === null ? readMounted(query) : parseDigest(announced);
  return digest === undefined ? canonicalAlgorithm : digestParts(digest).algorithm;
}

/** A body starts at its Content-Range, or where the upload stood when its Location was made (docker sends neither range nor length). */
function readChunk(call: UploadContext, offset: number): Chunk {
  const { ctx } = call;
  const header = ctx.get('Content-Range');
  const length = contentLength(ctx.req);
  const body = blobBody(call);
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
  return bodyOf(ctx.req, limits.bodyRate, {
    pace: limits.contendedBodyRate,
    isContended: () => bodies.isContended,
  });
}

/** A client that is told where the upload stands can go on from there (regctl does). */
async function orTellOffset<T>(call: UploadContext, id: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof OffsetMismatch) tellState(call, id, error.offset);
    throw error;
  }
}

/** Every answer renews the state, so an upload expires a day after its last request, not after its first. */
function tellState(
  { ctx, target: { name }, urlSigner, urls }: UploadContext,
  id: string,
  offset: number,
): void {
  ctx.set('Location', urls.upload(name, id, urlSigner.signUpload(name, id, { offset })));
  ctx.set('Range', uploadRange(offset));
  ctx.set('Docker-Upload-UUID', id);
}

function tellBlob({ ctx, target: { name }, urls }: UploadContext, digest: Digest): void {
  sendEmpty(ctx, 201);
  ctx.set('Location', urls.blob(name, digest));
  ctx.set('Docker-Content-Digest', digest);
}
