import type { Algorithm, Digest } from '../../protocol/digests.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { asUploadGone, isConcurrentChange, UploadGone } from './commit-blob.ts';
import { blobData } from '../layout.ts';
import { algorithmOf, resumableHash, streamHash, type ContentHash } from './content-hash.ts';
import type { Multipart } from './part-writer.ts';
import type { RecentHashes } from './recent-hashes.ts';
import type { Session } from './session-object.ts';

/** The digest of all bytes of a session. */
export async function digestOfSession({ hash }: Pick<Session, 'hash'>): Promise<Digest> {
  return hash.kind === 'final' ? hash.digest : (await resumableHash(algorithmOf(hash), hash.state)).digest();
}

interface HashOptions {
  readonly algorithm: Algorithm;
  readonly recent: RecentHashes;
  /** The digest that the upload is being finished with. */
  readonly finishedAs?: Digest | undefined;
}

/**
 * A hash after all bytes of a session, where the store can read parts in progress: the one that this process kept, or else one of the
 * stored bytes, of which this process reads each at most once. Reading is several times as fast as a hash whose state can be saved.
 * @throws UploadGone also if the stored bytes are not those that were received, such as after a power cut
 */
export async function hashOfSession(
  store: ObjectStore,
  session: Session,
  { algorithm, recent, finishedAs }: HashOptions,
): Promise<ContentHash> {
  const { id, offset, multipart, tail } = session;
  const received = await digestOfSession(session);
  const isDeclared = algorithm === algorithmOf(session.hash);
  const known = isDeclared ? recent.find(id, offset, received) : undefined;
  if (known?.offset === offset) return known.hash;
  const partsEnd = offset - tail.byteLength;
  const add = async (bytes: AsyncIterable<Uint8Array>, start: number, ...hashes: ContentHash[]) => {
    for await (const piece of bytes) for (const hash of hashes) hash.update(piece);
    for (const hash of hashes) hash.update(tail.subarray(Math.max(0, start - partsEnd)));
  };
  if (known !== undefined) {
    await add(partsFrom(store, multipart, known.offset), known.offset, known.hash).catch(ifGone);
    if (known.hash.digest() === received) return known.hash;
  }
  const computed = async (bytes: AsyncIterable<Uint8Array>): Promise<[ContentHash, Digest]> => {
    const [hash, check] = [streamHash(algorithm), streamHash(algorithmOf(session.hash))];
    await add(bytes, 0, hash, check);
    return [hash, check.digest()];
  };
  try {
    const [hash, actual] = await computed(partsFrom(store, multipart, 0));
    if (actual !== received) throw new UploadGone('the stored bytes are not those that were received');
    return hash;
  } catch (error) {
    if (multipart === undefined || !isConcurrentChange(error)) throw error;
    // A request that was killed has completed the object, which begins with these parts, and may have moved it.
    for (const key of [multipart.key, ...(finishedAs === undefined ? [] : [blobData(finishedAs)])]) {
      const [hash, actual] = (await computed(startOf(store, key, partsEnd)).catch(ifGone)) ?? [];
      if (hash !== undefined && actual === received) return hash;
    }
    throw asUploadGone(error);
  }
}

async function* partsFrom(
  store: ObjectStore,
  multipart: Multipart | undefined,
  start: number,
): AsyncGenerator<Uint8Array, void> {
  if (multipart === undefined || store.readParts === undefined) return;
  const { key, uploadId, parts } = multipart;
  yield* store.readParts(key, uploadId, parts, start);
}

async function* startOf(store: ObjectStore, key: string, length: number): AsyncGenerator<Uint8Array, void> {
  const { body } = await store.open(key, { start: 0, end: length - 1 });
  yield* body as AsyncIterable<Buffer>;
}

function ifGone(error: unknown): undefined {
  if (!isConcurrentChange(error)) throw error;
}
