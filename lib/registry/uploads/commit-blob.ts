import { digestParts, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import {
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  PreconditionFailed,
  type MoveSource,
  type ObjectInfo,
  type ObjectStore,
  type Piece,
} from '../../storage/store.ts';
import { digestOf, streamHash } from './content-hash.ts';
import { blobData } from '../layout.ts';
import { exists, undefinedIfMissing } from '../links.ts';
import type { Multipart, PartWriter } from './part-writer.ts';

/** Writes a blob to its final key, if its bytes have the digest. @throws RegistryError DIGEST_INVALID */
export type WriteBlob = (body: AsyncIterable<Uint8Array>, length: number) => Promise<void>;

/** The upload of a blob that is ready to be committed. */
export interface BlobCommit {
  readonly store: ObjectStore;
  /** Has received all bytes and is settled. */
  readonly writer: PartWriter;
  /** Creates an equal writer, if possible: the tail of the first need not be kept then. */
  readonly reopen?: () => Promise<PartWriter>;
  readonly digest: Digest;
  readonly writeBlob: WriteBlob;
  /** Writes a blob that is in memory and adds it to the repository. */
  readonly addBlob: (bytes: Buffer) => Promise<void>;
}

/**
 * The bytes of an upload are gone: a concurrent request is finishing, has finished or has cancelled it. Not every store tells
 * which, nor while it is still assembling an object.
 */
export class UploadGone extends Error {
  override readonly name = 'UploadGone';
}

/**
 * Moves uploaded bytes to their final key. A blob without parts is then in the repository, any other not yet. Every step may be retried after a lost response or a kill: if its input is gone,
 * the target tells whether the step was done.
 * @param commit of bytes whose digest was verified while they were received
 * @returns keys of the uploaded bytes, which the caller deletes once it needs no retry
 * @throws UploadGone
 * @throws RegistryError BLOB_UPLOAD_INVALID if a concurrent writer replaced the bytes
 */
export async function commitBlob(commit: BlobCommit): Promise<readonly string[]> {
  const { store, writer, digest } = commit;
  const { multipart, tail } = writer;
  if (multipart === undefined) {
    await commit.addBlob(tail);
    return [];
  }
  const size = sizeOf({ sizes: multipart.parts.map((part) => part.size) }) + tail.byteLength;
  try {
    if (hasPartObjects(multipart)) return await concatenate(commit, multipart);
    await store.move(multipart.key, blobData(digest), await complete(commit));
    return keysOf(multipart);
  } catch (error) {
    if (!isConcurrentChange(error)) throw error;
    return await recover(commit, multipart, size, error);
  }
}

/**
 * As {@link commitBlob}, for bytes whose digest in this algorithm is not known: they are read again. Happens when a client
 * does not declare the algorithm at the start, as the spec asks (end-4c).
 * @param known their digest in another algorithm
 * @throws RegistryError DIGEST_INVALID; the upload can still be finished with the right digest
 */
export async function commitUnverified(commit: BlobCommit, known: Digest): Promise<readonly string[]> {
  const { store, writer, digest } = commit;
  const { multipart, tail } = writer;
  if (multipart === undefined) {
    assertDigest(digestOf(tail, digestParts(digest).algorithm), digest);
    return await commitBlob(commit);
  }
  const size = sizeOf({ sizes: multipart.parts.map((part) => part.size) }) + tail.byteLength;
  try {
    if (!hasPartObjects(multipart)) {
      await complete(commit).catch((error: unknown) => {
        if (!isConcurrentChange(error)) throw error;
      });
      if (await moveIfMatching(commit, multipart, size, known)) return keysOf(multipart);
    }
    return await rewrite(commit);
  } catch (error) {
    // An existing blob proves nothing until it is known to have these bytes.
    if (!isConcurrentChange(error) || (await digestAt(store, blobData(digest), known)) !== known)
      throw asUploadGone(error);
    return keysOf(multipart);
  }
}

async function complete({ writer, reopen }: BlobCommit): Promise<ObjectInfo & MoveSource> {
  return await writer.complete({ keepsTail: reopen === undefined });
}

/** A wrong digest loses nothing: the session stays and can be finished with the right one. */
export function assertDigest(actual: Digest, claimed: Digest): void {
  if (actual === claimed) return;
  const message = `the bytes received have the digest ${actual}`;
  throw new RegistryError('DIGEST_INVALID', message, [{ digest: claimed }]);
}

/** The keys of all objects of an upload. */
export function keysOf({ key, parts }: Multipart): string[] {
  return [key, ...parts.flatMap((part) => part.key ?? [])];
}

/**
 * Reads the bytes of an upload again, and completes its multipart upload to do so. Keeps none of them in memory.
 * @returns also the keys they are read from
 * @throws UploadGone
 */
export async function reread(
  store: ObjectStore,
  writer: PartWriter,
): Promise<{
  readonly body: AsyncIterable<Uint8Array>;
  readonly length: number;
  readonly keys: readonly string[];
}> {
  await writer.storeTailAsObject();
  const { multipart } = writer;
  if (multipart === undefined) throw new Error('an upload without parts is read from its session');
  const pieces = await piecesOf(store, multipart);
  const length = sizeOf({ sizes: pieces.map(sizeOf) });
  return { body: bytesOf(store, pieces), length, keys: keysOf(multipart) };
}

function hasPartObjects({ parts }: Multipart): boolean {
  return parts.some(({ key }) => key !== undefined);
}

/** Turns errors of concurrent changes into UploadGone. */
export function asUploadGone(error: unknown): unknown {
  return isConcurrentChange(error)
    ? new UploadGone('the bytes of the upload are gone', { cause: error })
    : error;
}

/** Whether an error may mean that a concurrent request has done the step. Stores report this in different ways. */
export function isConcurrentChange(error: unknown): boolean {
  const types = [MultipartNotFound, InvalidPart, ObjectNotFound, PreconditionFailed, UploadGone];
  return types.some((Type) => error instanceof Type);
}

/**
 * Commits after a concurrent request interfered. A blob's own key only ever has the right bytes. Otherwise the multipart
 * upload may be complete, with the last bytes of the other request.
 * @param size of all bytes
 * @returns as {@link commitBlob}
 */
async function recover(
  commit: BlobCommit,
  multipart: Multipart,
  size: number,
  cause: unknown,
): Promise<readonly string[]> {
  const { store, digest } = commit;
  const isCommitted = async (): Promise<boolean> => await exists(store, blobData(digest));
  if (await isCommitted()) return keysOf(multipart);
  try {
    if (!hasPartObjects(multipart) && (await moveIfMatching(commit, multipart, size)))
      return keysOf(multipart);
    return await rewrite(commit);
  } catch (error) {
    if (error instanceof RegistryError && error.failure === 'DIGEST_INVALID')
      throw new RegistryError(
        'BLOB_UPLOAD_INVALID',
        'another request has written to this upload at the same time; start another one',
        [],
        { cause },
      );
    if (!isConcurrentChange(error) || !(await isCommitted())) throw error;
    return keysOf(multipart);
  }
}

/** Reads the bytes and writes them to the blob's key. @returns as {@link commitBlob} */
async function rewrite({ store, writer, reopen, writeBlob }: BlobCommit): Promise<readonly string[]> {
  // No request waits for memory while holding some.
  if (reopen !== undefined) writer.close();
  const source = reopen === undefined ? writer : await reopen();
  try {
    const { body, length, keys } = await reread(store, source);
    await writeBlob(body, length);
    return keys;
  } catch (error) {
    await source.discard();
    throw error;
  }
}

/**
 * Moves the object of a completed multipart upload if it has exactly the expected bytes.
 * @param size of these
 * @param known their digest in another algorithm, if that of the blob was not computed yet
 * @returns whether it was moved
 * @throws RegistryError DIGEST_INVALID if it has the expected bytes but they do not have the blob's digest
 */
async function moveIfMatching(
  { store, digest }: BlobCommit,
  { key }: Multipart,
  size: number,
  known = digest,
): Promise<boolean> {
  const object = await undefinedIfMissing(store.open(key));
  if (object === undefined) return false;
  if (object.size !== size) {
    object.body.destroy();
    return false;
  }
  const [actual, other] = await digestsOfStream(object.body, digest, known);
  if (other !== known) return false;
  assertDigest(actual, digest);
  try {
    await store.move(key, blobData(digest), object);
  } catch (error) {
    // The concurrent request may have moved it.
    if (!isConcurrentChange(error) || !(await exists(store, blobData(digest)))) throw asUploadGone(error);
  }
  return true;
}

/** The digest of an object, in the algorithm of another digest; undefined if there is no object. */
async function digestAt(store: ObjectStore, key: string, like: Digest): Promise<Digest | undefined> {
  const object = await undefinedIfMissing(store.open(key));
  return object && (await digestsOfStream(object.body, like, like))[0];
}

/** The digests of a stream, in the algorithms of two others. */
async function digestsOfStream(
  body: AsyncIterable<unknown>,
  like: Digest,
  alsoLike: Digest,
): Promise<[Digest, Digest]> {
  const hash = streamHash(digestParts(like).algorithm);
  const other = streamHash(digestParts(alsoLike).algorithm);
  for await (const bytes of body) {
    hash.update(bytes as Buffer);
    if (like !== alsoLike) other.update(bytes as Buffer);
  }
  return [hash.digest(), like === alsoLike ? hash.digest() : other.digest()];
}

/** Concatenates parts that are objects, in the store if it can. @returns as {@link commitBlob} */
async function concatenate(commit: BlobCommit, multipart: Multipart): Promise<readonly string[]> {
  const { store, writer, digest } = commit;
  const { tail, metadata } = writer;
  const pieces = await piecesOf(store, multipart);
  if (await store.concatenate(blobData(digest), pieces, { tail, metadata })) return keysOf(multipart);
  return await rewrite(commit);
}

/**
 * Completes a multipart upload with its own parts. If a concurrent request has done so with other last bytes, the object still
 * begins with these parts.
 */
async function piecesOf(store: ObjectStore, { key, uploadId, parts }: Multipart): Promise<Piece[]> {
  const own = parts.filter((part) => part.key === undefined);
  try {
    await store.completeMultipart(key, uploadId, own);
  } catch (error) {
    if (!isConcurrentChange(error) || !(await exists(store, key))) throw asUploadGone(error);
  }
  const objects = parts.flatMap((part) =>
    part.key === undefined ? [] : [{ key: part.key, sizes: [part.size] }],
  );
  return [{ key, sizes: own.map(({ size }) => size) }, ...objects];
}

function sizeOf({ sizes }: Pick<Piece, 'sizes'>): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function* bytesOf(store: ObjectStore, pieces: readonly Piece[]): AsyncGenerator<Uint8Array, void> {
  try {
    for (const piece of pieces) {
      const { body } = await store.open(piece.key, { start: 0, end: sizeOf(piece) - 1 });
      yield* body as AsyncIterable<Buffer>;
    }
  } catch (error) {
    throw asUploadGone(error);
  }
}
