import type { Readable } from 'node:stream';
import { digestParts, type Algorithm, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import {
  InvalidPart,
  MultipartNotFound,
  ObjectNotFound,
  PreconditionFailed,
  type MoveSource,
  type ObjectInfo,
  type ObjectStore,
} from '../storage/store.ts';
import { digestOf, streamHash } from './content-hash.ts';
import { blobData } from './layout.ts';
import { exists, orUndefined } from './links.ts';
import type { PartWriter } from './part-writer.ts';

/**
 * Gives received bytes their final key. Every step may be repeated after a lost answer or a kill: where something is
 * gone already, the target tells whether that was because the step was done.
 * @param writer settled; its bytes have the digest: the caller has computed it while they passed
 * @returns keys that the caller deletes once it needs no repetition: where the bytes came from
 * @throws RegistryError BLOB_UPLOAD_UNKNOWN when the bytes were thrown away meanwhile, BLOB_UPLOAD_INVALID when another
 *   writer has put others in their place
 */
export async function publish(store: ObjectStore, writer: PartWriter, digest: Digest): Promise<string[]> {
  if (writer.multipart === undefined) {
    await store.put(blobData(digest), writer.tail, { metadata: writer.metadata });
    return [];
  }
  try {
    const object = await finishObject(writer);
    await move(store, { ...object, parts: writer.multipart.parts }, digest);
  } catch (error) {
    if (!(error instanceof MultipartNotFound || error instanceof ObjectNotFound)) throw error;
    await resume(store, writer.multipart.key, digest, () => new RegistryError('BLOB_UPLOAD_INVALID', mixed));
  }
  return [writer.multipart.key];
}

/**
 * As {@link publish}, of bytes of which nobody has computed a digest in this algorithm yet: they are read once more. Comes of
 * a client that did not say at the start which one it would use, as the spec asks it to (end-4c).
 * @throws RegistryError DIGEST_INVALID when theirs is another; they can still be published under the right one, but nothing
 *   more can be added
 */
export async function publishOnceRead(
  store: ObjectStore,
  writer: PartWriter,
  digest: Digest,
): Promise<string[]> {
  const { multipart, tail } = writer;
  if (multipart === undefined) {
    assertDigest(digestOf(tail, digestParts(digest).algorithm), digest);
    return await publish(store, writer, digest);
  }
  try {
    await finishObject(writer);
  } catch (error) {
    if (!(error instanceof MultipartNotFound)) throw error;
  }
  await resume(store, multipart.key, digest, (actual) => wrongDigest(actual, digest));
  return [multipart.key];
}

/** A wrong digest loses nothing: the session stays, and may be finished with the right one. */
export function assertDigest(actual: Digest, claimed: Digest): void {
  if (actual !== claimed) throw wrongDigest(actual, claimed);
}

function wrongDigest(actual: Digest, claimed: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', `the bytes received have the digest ${actual}`, [
    { digest: claimed },
  ]);
}

/** @throws RegistryError BLOB_UPLOAD_INVALID when other bytes have come in their place since they were looked at */
async function move(store: ObjectStore, object: ObjectInfo & MoveSource, digest: Digest): Promise<void> {
  try {
    await store.move(object.key, blobData(digest), object);
  } catch (cause) {
    if (cause instanceof PreconditionFailed)
      throw new RegistryError('BLOB_UPLOAD_INVALID', mixed, [], { cause });
    throw cause;
  }
}

/**
 * The multipart upload is gone. Either it was completed, by us or by another writer with other bytes of the same
 * length, so what lies there is trusted only after a look at it; or it was moved on as well.
 * @param wrong the error where it has another digest
 */
async function resume(
  store: ObjectStore,
  key: string,
  digest: Digest,
  wrong: (actual: Digest) => RegistryError,
): Promise<void> {
  const object = await orUndefined(store.open(key));
  if (object !== undefined) {
    const actual = await digestOfStream(object.body, digestParts(digest).algorithm);
    if (actual !== digest) throw wrong(actual);
    // The other writer may be quicker.
    if ((await orUndefined(move(store, object, digest).then(() => true))) === true) return;
  }
  if (!(await exists(store, blobData(digest)))) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
}

/** Makes an object of an upload in progress so that its bytes can be read again. The caller deletes it. */
export async function reread(
  store: ObjectStore,
  writer: PartWriter,
): Promise<ObjectInfo & { readonly body: Readable }> {
  const key = writer.multipart?.key ?? '';
  try {
    await finishObject(writer);
  } catch (error) {
    if (!(error instanceof MultipartNotFound)) throw error;
  }
  const object = await orUndefined(store.open(key));
  if (object === undefined) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  return object;
}

const mixed = 'another request has written to this upload at the same time; start another one';

async function finishObject(writer: PartWriter): Promise<ObjectInfo> {
  try {
    return await writer.complete();
  } catch (cause) {
    if (cause instanceof InvalidPart) throw new RegistryError('BLOB_UPLOAD_INVALID', mixed, [], { cause });
    throw cause;
  }
}

async function digestOfStream(body: Readable, algorithm: Algorithm): Promise<Digest> {
  const hash = streamHash(algorithm);
  for await (const bytes of body) hash.update(bytes as Buffer);
  return hash.digest();
}
