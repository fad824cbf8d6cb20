import { randomBytes, randomUUID } from 'node:crypto';
import { canonicalAlgorithm, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import {
  MultipartNotFound,
  PreconditionFailed,
  type NewObject,
  type ObjectStore,
} from '../../storage/store.ts';
import type { Blobs } from '../blobs.ts';
import { algorithmOf, resumableHash, streamHash, type ContentHash } from './content-hash.ts';
import { blobData, uploadData } from '../layout.ts';
import {
  OffsetMismatch,
  type AnnounceOptions,
  type BlobInfo,
  type Chunk,
  type RegistryReader,
  type RegistryWriter,
} from '../interface.ts';
import { exists } from '../links.ts';
import { putInOrder } from '../put-objects.ts';
import { BufferPool, type Claim } from './buffer-pool.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { unclaimedBytes } from './part-sizes.ts';
import { PartWriter } from './part-writer.ts';
import { RecentHashes } from './recent-hashes.ts';
import {
  assertDigest,
  keysOf,
  commitBlob,
  commitUnverified,
  reread,
  UploadGone,
  type BlobCommit,
} from './commit-blob.ts';
import type { Session } from './session-object.ts';
import { digestOfSession, hashOfSession } from './session-hash.ts';
import { Sessions, type FitsRequest } from './sessions.ts';

/** A loaded session. */
interface OpenSession extends Session {
  tail: Buffer;
  /** Memory of the tail. */
  readonly claim: Claim | undefined;
  /** Writers that hold memory for this request. */
  readonly writers: PartWriter[];
}

type Roles = RegistryReader['uploads'] & RegistryWriter['uploads'];
type Body = Omit<Chunk, 'start' | 'partial'>;

/** Concurrent reads of sessions. A tail may have megabytes, for which memory is claimed only once its size is known. */
const parallelLoads = 8;

/** A received chunk that is not saved yet. */
interface Received {
  readonly writer: PartWriter;
  readonly hash: ContentHash;
  /** Bytes of the upload including the chunk. */
  readonly offset: number;
  /** Keys of bytes that were copied elsewhere. */
  readonly stale: readonly string[];
}

/**
 * Upload sessions (OCI Distribution Spec, "Pushing blobs"). Each method is one request, and another process may serve the
 * next: all state between requests is in the session object and the parts it names. A failed request leaves the session
 * unchanged.
 */
export class Uploads implements Roles {
  readonly #store: ObjectStore;
  readonly #blobs: Blobs;
  readonly #sessions: Sessions;
  readonly #pool: BufferPool;
  readonly #hashes = new RecentHashes();
  readonly #loads = new ConcurrencyLimit(parallelLoads);

  /** @param pool memory shared by all uploads */
  constructor(store: ObjectStore, blobs: Blobs, pool = new BufferPool()) {
    this.#store = store;
    this.#blobs = blobs;
    this.#pool = pool;
    this.#sessions = new Sessions(store);
  }

  async start(name: RepositoryName, algorithm: Algorithm = canonicalAlgorithm): Promise<string> {
    const id = randomUUID();
    await this.#sessions.save({
      id,
      repository: name,
      startedAt: new Date(),
      offset: 0,
      hash: streamHash(algorithm).state(),
      multipart: undefined,
      tail: Buffer.alloc(0),
      etag: undefined,
    });
    return id;
  }

  async status(name: RepositoryName, id: string): Promise<number> {
    return await this.#withSession(name, id, ({ offset }) => offset);
  }

  async append(name: RepositoryName, id: string, chunk: Chunk): Promise<number> {
    const fits = ({ offset }: Session) => this.#store.limits.honoursIfMatch && offset === chunk.start;
    const append = async (session: OpenSession) => {
      if (chunk.start !== session.offset) throw new OffsetMismatch(session.offset);
      const received = await this.#receive(session, chunk).catch(async (error: unknown) => {
        if (!(error instanceof UploadGone)) throw error;
        const failure = await this.#explainGone(session, error);
        // Parts that cannot be read are as lost as those that cannot be written.
        const isLost = this.#store.readParts !== undefined && failure.failure === 'UNAVAILABLE';
        throw isLost ? unknownUpload(error) : failure;
      });
      if (received.writer.lost) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
      await this.#save(session, received);
      if (received.stale.length > 0) await this.#store.delete(received.stale);
      return received.offset;
    };
    return await this.#withSession(name, id, append, fits);
  }

  async finish(
    name: RepositoryName,
    id: string,
    digest: Digest,
    last: Chunk | undefined,
    options: AnnounceOptions = {},
  ): Promise<BlobInfo> {
    const fits = async (saved: Session) =>
      last === undefined ? (await digestOfSession(saved)) === digest : last.start === saved.offset;
    const session = await this.#open(name, id, fits);
    if (session !== undefined)
      try {
        return await this.#finishSession(session, digest, last, options);
      } finally {
        close(session);
      }
    // An earlier request may have finished it, and its response was lost.
    const blob = await this.#blobs.find(name, digest);
    if (blob === undefined) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return blob;
  }

  async #finishSession(
    session: OpenSession,
    digest: Digest,
    last: Chunk | undefined,
    options: AnnounceOptions,
  ): Promise<BlobInfo> {
    const { id, repository: name } = session;
    const isWholeBlob = last?.start === 0 && (session.offset === 0 || !last.partial);
    if (isWholeBlob) {
      release(session);
      const blob = await this.put(name, digest, last, options);
      await this.#remove(session);
      return blob;
    }
    try {
      const { moved, stale, size } = await this.#finishParts(session, digest, last, options);
      await this.#sessions.delete(id, moved);
      this.#hashes.forget(id);
      // After the session: a retry would read these again.
      if (stale.length > 0) await this.#store.delete(stale);
      return { digest, size };
    } catch (error) {
      if (!(error instanceof UploadGone)) throw error;
      const explained = await this.#explainGone(session, error);
      const isLost = explained.failure === 'UNAVAILABLE' && (await this.#isLost(session, digest));
      const failure = isLost ? unknownUpload(error) : explained;
      // If the session is gone, the blob may have been committed.
      const blob = failure.status === 404 ? await this.#blobs.find(name, digest) : undefined;
      if (blob === undefined) throw failure;
      return blob;
    }
  }

  async put(
    name: RepositoryName,
    digest: Digest,
    blob: Body,
    options: AnnounceOptions = {},
  ): Promise<BlobInfo> {
    const size = await this.#receiveBlob(name, digest, blob, options);
    return { digest, size };
  }

  async cancel(name: RepositoryName, id: string): Promise<void> {
    await this.#withSession(name, id, async (session) => {
      release(session);
      await this.#remove(session);
    });
  }

  /** @throws RegistryError BLOB_UPLOAD_UNKNOWN */
  async #withSession<T>(
    name: RepositoryName,
    id: string,
    act: (session: OpenSession) => T | Promise<T>,
    fits?: FitsRequest,
  ): Promise<T> {
    const session = await this.#open(name, id, fits);
    if (session === undefined) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    try {
      return await act(session);
    } finally {
      close(session);
    }
  }

  /**
   * @param fits whether a session that this process has saved last will do; without it the bucket is asked
   * @returns a session that must be passed to {@link close}
   */
  async #open(name: RepositoryName, id: string, fits?: FitsRequest): Promise<OpenSession | undefined> {
    const saved = fits && (await this.#sessions.takeSaved(name, id, fits));
    if (saved !== undefined) return { ...saved, claim: undefined, writers: [] };
    return await this.#loads.run(async () => {
      const session = await this.#sessions.load(name, id);
      if (session === undefined) return undefined;
      const { byteLength } = session.tail;
      const most = Math.max(byteLength, this.#store.limits.partSize);
      const claim = byteLength > unclaimedBytes ? await this.#pool.claim(most) : undefined;
      return { ...session, claim, writers: [] };
    });
  }

  /** The error if the bytes of a session are gone: while the session exists, a concurrent request may still be finishing it. */
  async #explainGone(session: OpenSession, cause: UploadGone): Promise<RegistryError> {
    const { repository, id, etag } = session;
    close(session);
    const now = await this.#open(repository, id);
    if (now === undefined) return unknownUpload(cause);
    close(now);
    if (now.etag !== etag) return new OffsetMismatch(now.offset);
    const message =
      'another request is finishing this upload or has cancelled it; try again, or start another one if this persists';
    return new RegistryError('UNAVAILABLE', message, [], { cause });
  }

  /**
   * Whether the bytes of a session are gone for good, such as by a power cut: where parts in progress can be read, a concurrent
   * request that is finishing the upload has made an object of them by now.
   */
  async #isLost({ multipart }: Session, digest: Digest): Promise<boolean> {
    if (this.#store.readParts === undefined) return false;
    const keys = [...(multipart === undefined ? [] : [multipart.key]), blobData(digest)];
    for (const key of keys) if (await exists(this.#store, key)) return false;
    return true;
  }

  /**
   * Writes a whole blob directly to its key, where nothing appears until the digest is verified.
   * @param adding if it is added to the repository as well
   * @returns its size
   */
  async #receiveBlob(
    name: RepositoryName,
    digest: Digest,
    blob: Body,
    adding?: AnnounceOptions,
  ): Promise<number> {
    const writer = new PartWriter(this.#store, blobData(digest), {
      pool: this.#pool,
      newKey: newKeys(randomUUID()),
      length: blob.length,
      metadata: this.#blobs.mountHint(name),
    });
    const hash = streamHash(digestParts(digest).algorithm);
    try {
      const size = await receive(blob, writer, hash);
      assertDigest(hash.digest(), digest);
      const complete = async (...followedBy: NewObject[]) => await this.#complete(writer, digest, followedBy);
      if (adding === undefined) await complete();
      else await this.#blobs.place(name, { digest, size }, complete, adding);
      return size;
    } catch (error) {
      await writer.discard();
      throw error;
    } finally {
      writer.close();
    }
  }

  /**
   * A blob's key only ever has bytes with its digest, so an object that already exists there is right.
   * @param followedBy objects to write after it if that takes one write
   * @returns whether they were written
   */
  async #complete(writer: PartWriter, digest: Digest, followedBy: readonly NewObject[]): Promise<boolean> {
    try {
      return (await writer.complete({ followedBy })).parts === undefined;
    } catch (error) {
      // It was completed by a call whose response was lost, or aborted by others.
      if (!(error instanceof MultipartNotFound)) throw error;
      if (!(await exists(this.#store, blobData(digest))))
        throw new RegistryError('UNAVAILABLE', 'the storage has lost the bytes; send them again', [], {
          cause: error,
        });
      return false;
    }
  }

  /**
   * Makes the blob of a session and adds it to the repository.
   * @returns the keys of the bytes that became the blob and of stale copies, which can all be deleted, and the blob's size
   * @throws UploadGone
   */
  async #finishParts(
    session: OpenSession,
    digest: Digest,
    last: Chunk | undefined,
    options: AnnounceOptions,
  ): Promise<{ moved: readonly string[]; stale: readonly string[]; size: number }> {
    if (last === undefined) {
      const known = await digestOfSession(session);
      if (mayBeDamaged(session))
        await hashOfSession(this.#store, session, {
          algorithm: algorithmOf(session.hash),
          finishedAs: digest,
          recent: this.#hashes,
        });
      // The digest computed so far may have another algorithm.
      const isVerified = digestParts(digest).algorithm === algorithmOf(session.hash);
      if (isVerified) assertDigest(known, digest);
      const blob = { digest, size: session.offset };
      const move = async (commit: BlobCommit) =>
        isVerified ? await commitBlob(commit) : await commitUnverified(commit, known);
      const moved = await this.#place(session, blob, this.#source(session), move, options);
      return { moved, stale: [], size: blob.size };
    }
    if (last.start !== session.offset) throw new OffsetMismatch(session.offset);
    const { writer, hash, stale, offset: size } = await this.#receive(session, last, digest);
    if (hash.digest() !== digest) await writer.discard();
    assertDigest(hash.digest(), digest);
    const moved = await this.#place(session, { digest, size }, { writer }, commitBlob, options);
    return { moved, stale, size };
  }

  /** @returns as `move` */
  async #place(
    { repository }: Session,
    blob: BlobInfo,
    source: Pick<BlobCommit, 'writer' | 'reopen'>,
    move: (commit: BlobCommit) => Promise<readonly string[]>,
    options: AnnounceOptions,
  ): Promise<readonly string[]> {
    const { digest } = blob;
    // All bytes are in memory, and are written with the link.
    const isSmall = source.writer.multipart === undefined;
    let moved: readonly string[] = [];
    const place = async (...links: readonly NewObject[]) => {
      moved = await move({
        store: this.#store,
        digest,
        ...source,
        writeBlob: async (body, length) => {
          await this.#receiveBlob(repository, digest, { body, length });
        },
        addBlob: async (bytes) => {
          const data = { key: blobData(digest), bytes, metadata: this.#blobs.mountHint(repository) };
          await putInOrder(this.#store, [data, ...links]);
        },
      });
      return isSmall;
    };
    await this.#blobs.place(repository, blob, place, options);
    return moved;
  }

  /** A writer for a whole session. Its tail need not stay in memory: it can be read again. */
  #source(session: OpenSession): Pick<BlobCommit, 'writer' | 'reopen'> {
    const reopen = async (): Promise<PartWriter> => {
      const now = await this.#open(session.repository, session.id);
      const writer = now && this.#writer(now);
      if (now === undefined || writer === undefined || now.etag !== session.etag) {
        if (now !== undefined) close(now);
        throw new UploadGone('the session has changed');
      }
      session.writers.push(writer);
      return writer;
    };
    return { writer: this.#writer(session), reopen };
  }

  /**
   * Appends a chunk without saving the session.
   * @param finishedAs the digest of the whole, if these are the last bytes. Otherwise they may become the end of the last part; the last
   *   bytes are kept until the blob is complete.
   */
  async #receive(session: OpenSession, chunk: Chunk, finishedAs?: Digest): Promise<Received> {
    const { writer, hash, stale } = await this.#reopen(session, chunk, finishedAs);
    // The writer has the tail now and may spill it.
    release(session);
    writer.allowSpilling();
    try {
      if (finishedAs === undefined && (chunk.length ?? Infinity) > unclaimedBytes)
        await writer.continueLastPart();
      const length = await receive(chunk, writer, hash);
      // Clients that send chunks with their range can begin anew after a power cut. A stream is mostly the whole blob, which any process
      // can then finish without reading it again.
      await writer.settle({ transient: finishedAs === undefined && chunk.partial });
      return { writer, hash, offset: session.offset + length, stale };
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  /** Prepares a writer and a hash at the session's offset. @param finishedAs as in {@link #receive} */
  async #reopen(
    session: OpenSession,
    chunk: Chunk,
    finishedAs: Digest | undefined,
  ): Promise<Pick<Received, 'writer' | 'hash' | 'stale'>> {
    const writer = this.#writer(session);
    const { hash: saved, multipart, tail } = session;
    const algorithm = finishedAs === undefined ? algorithmOf(saved) : digestParts(finishedAs).algorithm;
    const readsParts = this.#store.readParts !== undefined;
    if (session.offset === 0) {
      const isResumed = chunk.partial && !readsParts;
      const hash = isResumed ? await resumableHash(algorithm) : streamHash(algorithm);
      return { writer, hash, stale: [] };
    }
    if (saved.kind === 'resumable' && algorithmOf(saved) === algorithm && !mayBeDamaged(session))
      return { writer, hash: await resumableHash(algorithm, saved.state), stale: [] };
    if (readsParts)
      return {
        writer,
        hash: await hashOfSession(this.#store, session, { algorithm, finishedAs, recent: this.#hashes }),
        stale: [],
      };
    const hash = await resumableHash(algorithm);
    if (multipart !== undefined) return await this.#rehash(session, writer, hash);
    hash.update(tail);
    return { writer, hash, stale: [] };
  }

  /**
   * Continues a session whose digest cannot be continued, or in another algorithm: the bytes are read again and copied to a
   * new multipart upload, because the parts of one in progress cannot be read. This happens if a client streams without
   * declaring that more will follow and then sends more, or did not declare its algorithm; docker does neither. Reading
   * completes the session's multipart upload, so no part can be added to it: after a wrong digest in another algorithm with
   * last bytes, this is the only way to continue.
   * @param before has all bytes of the session
   * @throws UploadGone
   */
  async #rehash(
    session: OpenSession,
    before: PartWriter,
    hash: ContentHash,
  ): Promise<Pick<Received, 'writer' | 'hash' | 'stale'>> {
    const { body, keys } = await reread(this.#store, before).catch(async (error: unknown) => {
      await before.discard();
      throw error;
    });
    const nothing = { multipart: undefined, tail: Buffer.alloc(0), claim: undefined };
    const writer = this.#writer({ ...session, ...nothing });
    const check = streamHash(algorithmOf(session.hash));
    const both = {
      update: (bytes: Uint8Array) => {
        hash.update(bytes);
        check.update(bytes);
      },
    };
    try {
      await receive({ body, length: session.offset }, writer, both);
      assertDigest(check.digest(), await digestOfSession(session));
    } catch (error) {
      await writer.discard();
      await before.discard();
      throw error;
    }
    return { writer, hash, stale: keys };
  }

  #writer(session: OpenSession): PartWriter {
    const { id, repository, multipart, tail, claim, writers } = session;
    const newKey = newKeys(id);
    const writer = new PartWriter(this.#store, newKey(), {
      pool: this.#pool,
      newKey,
      metadata: this.#blobs.mountHint(repository),
      resume: { multipart, tail, claim },
    });
    writers.push(writer);
    return writer;
  }

  async #save(session: OpenSession, { writer, hash, offset }: Received): Promise<void> {
    try {
      // Detects a concurrent request with the same offset; at offset 0 that is not worth a request.
      if (session.offset > 0) await this.#sessions.assertUnchanged(session);
      const { multipart, tail } = writer;
      await this.#sessions.save({ ...session, offset, hash: hash.state(), multipart, tail });
      this.#hashes.keep(session.id, offset, hash);
    } catch (error) {
      // After any other error, the session may have been written and need its parts.
      if (!(error instanceof PreconditionFailed)) throw error;
      await writer.discard();
      throw new OffsetMismatch(await this.status(session.repository, session.id));
    }
  }

  /** The session goes last: until then, an interrupted removal can be retried. */
  async #remove({ id, multipart }: Session): Promise<void> {
    if (multipart !== undefined) {
      await this.#store.abortMultipart(multipart.key, multipart.uploadId);
      await this.#store.delete(keysOf(multipart));
    }
    await this.#sessions.delete(id);
    this.#hashes.forget(id);
  }
}

/** Whether a power cut may have damaged bytes of a session, so that they must be read unless this process has hashed them. */
function mayBeDamaged({ multipart }: Session): boolean {
  return multipart?.parts.some(({ unsynced = false }) => unsynced) === true;
}

function unknownUpload(cause: unknown): RegistryError {
  return new RegistryError('BLOB_UPLOAD_UNKNOWN', undefined, [], { cause });
}

/** Creates keys for the data of an upload; it may have thousands. */
function newKeys(id: string): () => string {
  return () => uploadData(id, randomBytes(16).toString('hex'));
}

/** Releases the tail, unless a writer holds it. */
function release(session: OpenSession): void {
  session.tail = Buffer.alloc(0);
  if (session.writers.length === 0) session.claim?.release();
}

/** Releases all memory of a request. */
function close({ claim, writers }: OpenSession): void {
  for (const writer of writers) writer.close();
  claim?.release();
}

/** Passes a body to a writer and a hash. @returns its size */
async function receive(
  { body, length }: Body,
  writer: PartWriter,
  hash: Pick<ContentHash, 'update'>,
): Promise<number> {
  let received = 0;
  for await (const bytes of body) {
    received += bytes.byteLength;
    // The body may be endless.
    if (length !== undefined && received > length) break;
    hash.update(bytes);
    await writer.write(bytes);
  }
  if (length !== undefined && received !== length)
    throw new RegistryError('SIZE_INVALID', `the request announced ${length} bytes and sent others`);
  return received;
}
