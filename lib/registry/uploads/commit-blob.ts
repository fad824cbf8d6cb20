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

/** Writes a blob's bytes to its own key, where they appear only if they have the digest. @throws RegistryError DIGEST_INVALID */
export type WriteBlob = (body: AsyncIterable<Uint8Array>, length: number) => Promise<void>;

/** What bytes are given their final key with. */
export interface BlobCommit {
  readonly store: ObjectStore;
  /** Has all of the bytes, and no part of them is on its way. */
  readonly writer: PartWriter;
  /** Makes another such writer, where that can be done: the tail of the first need not be kept then. */
  readonly reopen?: () => Promise<PartWriter>;
  readonly digest: Digest;
  readonly writeBlob: WriteBlob;
}

/**
 * The bytes of an upload are not where they were: another request is finishing it, has done so, or has thrown it away. Not
 * every store tells which, nor while it is still putting an object together.
 */
export class UploadGone extends Error {
  override readonly name = 'UploadGone';
}

/**
 * Gives received bytes their final key. Every step may be repeated after a lost answer or a kill: where something is
 * gone already, the target tells whether that was because the step was done.
 * @param commit its bytes have the digest: the caller has computed it while they passed
 * @returns keys that the caller deletes once it needs no repetition: where the bytes came from
 * @throws UploadGone
 * @throws RegistryError BLOB_UPLOAD_INVALID when another writer has put other bytes in their place
 */
export async function commitBlob(commit: BlobCommit): Promise<readonly string[]> {
  const { store, writer, digest } = commit;
  const { multipart, tail, metadata } = writer;
  if (multipart === undefined) {
    await store.put(blobData(digest), tail, { metadata });
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
 * As {@link commitBlob}, of bytes of which nobody has computed a digest in this algorithm yet: they are read once more. Comes of
 * a client that did not say at the start which one it would use, as the spec asks it to (end-4c).
 * @param known their digest in another algorithm
 * @throws RegistryError DIGEST_INVALID when theirs is another; they can still be published under the right one
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
    // That there is a blob proves nothing, until it is known to be of these bytes.
    if (!isConcurrentChange(error) || (await digestAt(store, blobData(digest), known)) !== known)
      throw asUploadGone(error);
    return keysOf(multipart);
  }
}

async function complete({ writer, reopen }: BlobCommit): Promise<ObjectInfo & MoveSource> {
  return await writer.complete({ keepsTail: reopen === undefined });
}

/** A wrong digest loses nothing: the session stays, and may be finished with the right one. */
export function assertDigest(actual: Digest, claimed: Digest): void {
  if (actual !== claimed) throw wrongDigest(actual, claimed);
}

/** The keys of all objects that there may be of an upload. */
export function keysOf({ key, parts }: Multipart): string[] {
  return [key, ...parts.flatMap((part) => part.key ?? [])];
}

/**
 * The bytes of an upload in progress once more, which takes its multipart upload to an end. None of them stays in memory.
 * @returns also the keys of where they are
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

/** What an error means to who has nothing else to look at. */
function asUploadGone(error: unknown): unknown {
  return isConcurrentChange(error)
    ? new UploadGone('the bytes of the upload are gone', { cause: error })
    : error;
}

/** Whether a step failed because another request may have done it, by whichever of the errors that a store has for that. */
function isConcurrentChange(error: unknown): boolean {
  const types = [MultipartNotFound, InvalidPart, ObjectNotFound, PreconditionFailed, UploadGone];
  return types.some((Type) => error instanceof Type);
}

/**
 * Another request was quicker. Nothing but bytes that have the digest is ever put at a blob's own key; else they may lie
 * where the multipart upload was completed, with the last bytes of that request after them.
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
  const isThere = async (): Promise<boolean> => await exists(store, blobData(digest));
  if (await isThere()) return keysOf(multipart);
  try {
    if (!hasPartObjects(multipart) && (await moveIfMatching(commit, multipart, size)))
      return keysOf(multipart);
    return await rewrite(commit);
  } catch (error) {
    if (error instanceof RegistryError && error.failure === 'DIGEST_INVALID')
      throw new RegistryError('BLOB_UPLOAD_INVALID', mixed, [], { cause });
    if (!isConcurrentChange(error) || !(await isThere())) throw error;
    return keysOf(multipart);
  }
}

/** Reads the bytes and writes them to the blob's own key. @returns as {@link commitBlob} */
async function rewrite({ store, writer, reopen, writeBlob }: BlobCommit): Promise<readonly string[]> {
  // Nobody waits for memory while holding some.
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
 * Moves what a multipart upload has become, if that is just the bytes that are wanted.
 * @param size of these
 * @param known their digest in another algorithm, where nobody has computed the right one yet
 * @returns whether it is
 * @throws RegistryError DIGEST_INVALID when it is these bytes, and they have another digest
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
    // The other request may be quicker once more.
    if (!isConcurrentChange(error) || !(await exists(store, blobData(digest)))) throw asUploadGone(error);
  }
  return true;
}

/** The digest of an object in the algorithm of another one, if it is there. */
async function digestAt(store: ObjectStore, key: string, like: Digest): Promise<Digest | undefined> {
  const object = await undefinedIfMissing(store.open(key));
  return object && (await digestsOfStream(object.body, like, like))[0];
}

/** The digests of bytes in the algorithms of two others. */
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

/** Puts parts together that lie apart, on the store where that can. @returns as {@link commitBlob} */
async function concatenate(commit: BlobCommit, multipart: Multipart): Promise<readonly string[]> {
  const { store, writer, digest } = commit;
  const { tail, metadata } = writer;
  const pieces = await piecesOf(store, multipart);
  if (await store.concatenate(blobData(digest), pieces, { tail, metadata })) return keysOf(multipart);
  return await rewrite(commit);
}

/**
 * Completes a multipart upload with the parts that are its own. Where another request has done so, with last bytes of its own,
 * those parts come before these.
 */
async function piecesOf(store: ObjectStore, { key, uploadId, parts }: Multipart): Promise<Piece[]> {
  const own = parts.filter((part) => part.key === undefined);
  try {
    await store.completeMultipart(key, uploadId, own);
  } catch (error) {
    if (!isConcurrentChange(error) || !(await exists(store, key))) throw asUploadGone(error);
  }
  const apart = parts.flatMap((part) =>
    part.key === undefined ? [] : [{ key: part.key, sizes: [part.size] }],
  );
  return [{ key, sizes: own.map(({ size }) => size) }, ...apart];
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

function wrongDigest(actual: Digest, claimed: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', `the bytes received have the digest ${actual}`, [
    { digest: claimed },
  ]);
}

const mixed = 'another request has written to this upload at the same time; start another one';
