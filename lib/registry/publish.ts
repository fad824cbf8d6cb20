import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digests.ts';
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
import { streamHash } from './content-hash.ts';
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
    await store.put(blobData(digest), writer.tail);
    return [];
  }
  try {
    const object = await finishObject(writer);
    await move(store, { ...object, parts: writer.multipart.parts }, digest);
  } catch (error) {
    if (!(error instanceof MultipartNotFound || error instanceof ObjectNotFound)) throw error;
    await resume(store, writer, digest);
  }
  return [writer.multipart.key];
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
 */
async function resume(store: ObjectStore, writer: PartWriter, digest: Digest): Promise<void> {
  const key = writer.multipart?.key;
  const object = key === undefined ? undefined : await orUndefined(store.open(key));
  if (object !== undefined) {
    if ((await digestOf(object.body)) !== digest) throw new RegistryError('BLOB_UPLOAD_INVALID', mixed);
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

async function digestOf(body: Readable): Promise<Digest> {
  const hash = streamHash();
  for await (const bytes of body) hash.update(bytes as Buffer);
  return hash.digest();
}
