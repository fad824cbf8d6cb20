import { randomBytes, randomUUID } from 'node:crypto';
import { canonicalAlgorithm, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { MultipartNotFound, PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import type { Blobs } from '../blobs.ts';
import { algorithmOf, resumableHash, streamHash, type ContentHash } from './content-hash.ts';
import { blobData, uploadData } from '../layout.ts';
import {
  OffsetMismatch,
  type BlobInfo,
  type Chunk,
  type RegistryReader,
  type RegistryWriter,
} from '../interface.ts';
import { exists } from '../links.ts';
import { BufferPool, type Claim } from './buffer-pool.ts';
import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { PartWriter, unclaimedBytes } from './part-writer.ts';
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
import { Sessions } from './sessions.ts';

/** A session in memory. */
interface OpenSession extends Session {
  tail: Buffer;
  /** For its tail. */
  readonly claim: Claim | undefined;
  /** What holds memory for this request. */
  readonly writers: PartWriter[];
}

type Roles = RegistryReader['uploads'] & RegistryWriter['uploads'];

/** Sessions read at once: each may have a tail of megabytes, for which memory is claimed once its size is known. */
const parallelLoads = 8;

/** What a writer took of a request, before any of it counts. */
interface Received {
  readonly writer: PartWriter;
  readonly hash: ContentHash;
  /** Bytes of the upload with these. */
  readonly offset: number;
  /** Where earlier requests kept bytes that are now elsewhere. */
  readonly stale: readonly string[];
}

/**
 * Upload sessions (OCI Distribution Spec, "Pushing blobs"). Each method is one request, and the next may reach another
 * process: all there is between two requests is the session object and the parts it names. A request that fails leaves
 * the session as it was.
 */
export class Uploads implements Roles {
  readonly #store: ObjectStore;
  readonly #blobs: Blobs;
  readonly #sessions: Sessions;
  readonly #pool: BufferPool;
  readonly #loads = new ConcurrencyLimit(parallelLoads);

  /** @param pool what all uploads share of memory */
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
    return await this.#withSession(name, id, async (session) => {
      if (chunk.start !== session.offset) throw new OffsetMismatch(session.offset);
      const received = await this.#receive(session, chunk).catch(async (error: unknown) => {
        throw error instanceof UploadGone ? await this.#explainGone(session, error) : error;
      });
      if (received.writer.lost) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
      await this.#save(session, received);
      if (received.stale.length > 0) await this.#store.delete(received.stale);
      return received.offset;
    });
  }

  async finish(name: RepositoryName, id: string, digest: Digest, last: Chunk | undefined): Promise<BlobInfo> {
    const session = await this.#open(name, id);
    if (session === undefined) return await this.#finished(name, digest);
    try {
      return await this.#finishSession(session, digest, last);
    } finally {
      close(session);
    }
  }

  async #finishSession(session: OpenSession, digest: Digest, last: Chunk | undefined): Promise<BlobInfo> {
    const { id, repository: name } = session;
    const whole = last?.start === 0 && (session.offset === 0 || !last.partial);
    if (whole) {
      release(session);
      const size = await this.#receiveWhole(name, digest, last);
      await this.#blobs.link(name, digest);
      await this.#remove(session);
      return { digest, size };
    }
    try {
      const { moved, stale, size } = await this.#finishParts(session, digest, last);
      await this.#blobs.link(name, digest);
      await this.#sessions.delete(id, moved);
      // After the session: a repetition would read it once more.
      if (stale.length > 0) await this.#store.delete(stale);
      return { digest, size };
    } catch (error) {
      if (!(error instanceof UploadGone)) throw error;
      const failure = await this.#explainGone(session, error);
      // That of a session that is gone may be here.
      const blob = failure.status === 404 ? await this.#blobs.find(name, digest) : undefined;
      if (blob === undefined) throw failure;
      return blob;
    }
  }

  async put(name: RepositoryName, digest: Digest, blob: Omit<Chunk, 'start' | 'partial'>): Promise<BlobInfo> {
    const size = await this.#receiveWhole(name, digest, { ...blob, start: 0, partial: false });
    await this.#blobs.link(name, digest);
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
  ): Promise<T> {
    const session = await this.#open(name, id);
    if (session === undefined) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    try {
      return await act(session);
    } finally {
      close(session);
    }
  }

  /** @returns what is to be given to {@link close} */
  async #open(name: RepositoryName, id: string): Promise<OpenSession | undefined> {
    return await this.#loads.run(async () => {
      const session = await this.#sessions.load(name, id);
      if (session === undefined) return undefined;
      const { byteLength } = session.tail;
      const most = Math.max(byteLength, this.#store.limits.partSize);
      const claim = byteLength > unclaimedBytes ? await this.#pool.claim(most) : undefined;
      return { ...session, claim, writers: [] };
    });
  }

  /** What it means that the bytes of a session are gone: while it is there, another request may still be finishing it. */
  async #explainGone(session: OpenSession, cause: UploadGone): Promise<RegistryError> {
    const { repository, id, etag } = session;
    close(session);
    const now = await this.#open(repository, id);
    if (now === undefined) return new RegistryError('BLOB_UPLOAD_UNKNOWN', undefined, [], { cause });
    close(now);
    if (now.etag !== etag) return new OffsetMismatch(now.offset);
    const message =
      'another request is finishing this upload, or has thrown it away; try again, or start another one if this goes on';
    return new RegistryError('UNAVAILABLE', message, [], { cause });
  }

  /** A session that is gone may have been finished by a request whose answer was lost. */
  async #finished(name: RepositoryName, digest: Digest): Promise<BlobInfo> {
    const blob = await this.#blobs.find(name, digest);
    if (blob === undefined) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return blob;
  }

  /** Straight to the blob's own key, where nothing shows until the digest has turned out right. @returns its bytes */
  async #receiveWhole(name: RepositoryName, digest: Digest, chunk: Chunk): Promise<number> {
    const { length } = chunk;
    const metadata = this.#blobs.mountHint(name);
    const writer = new PartWriter(this.#store, blobData(digest), {
      pool: this.#pool,
      newKey: newKeys(randomUUID()),
      length,
      metadata,
    });
    const hash = streamHash(digestParts(digest).algorithm);
    try {
      const size = await receive(chunk, writer, hash);
      assertDigest(hash.digest(), digest);
      await this.#complete(writer, digest);
      return size;
    } catch (error) {
      await writer.discard();
      throw error;
    } finally {
      writer.close();
    }
  }

  /** Nothing but bytes that have the digest is ever put at a blob's own key, so what is there now is right. */
  async #complete(writer: PartWriter, digest: Digest): Promise<void> {
    try {
      await writer.complete();
    } catch (error) {
      // Completed by a call whose answer was lost, or thrown away by others.
      if (!(error instanceof MultipartNotFound)) throw error;
      if (!(await exists(this.#store, blobData(digest))))
        throw new RegistryError('UNAVAILABLE', 'the storage has lost the bytes; send them again', [], {
          cause: error,
        });
    }
  }

  /**
   * @returns the keys of what has become the blob, and of what an earlier attempt kept; both can go. And
   *   the bytes of the blob.
   * @throws UploadGone
   */
  async #finishParts(
    session: OpenSession,
    digest: Digest,
    last: Chunk | undefined,
  ): Promise<{ moved: readonly string[]; stale: readonly string[]; size: number }> {
    const { algorithm } = digestParts(digest);
    const writeBlob = async (body: Chunk['body'], length: number): Promise<void> => {
      await this.#receiveWhole(session.repository, digest, { body, start: 0, length, partial: false });
    };
    const commit = { store: this.#store, digest, writeBlob };
    if (last === undefined) {
      const known = await digestOf(session);
      const whole = { ...commit, ...this.#source(session) };
      const rest = { stale: [], size: session.offset };
      // What was computed while the bytes passed says nothing of a digest in another algorithm.
      if (algorithm !== algorithmOf(session.hash))
        return { moved: await commitUnverified(whole, known), ...rest };
      assertDigest(known, digest);
      return { moved: await commitBlob(whole), ...rest };
    }
    if (last.start !== session.offset) throw new OffsetMismatch(session.offset);
    const { writer, hash, stale, offset: size } = await this.#receive(session, last, algorithm);
    if (hash.digest() !== digest) await writer.discard();
    assertDigest(hash.digest(), digest);
    return { moved: await commitBlob({ ...commit, writer }), stale, size };
  }

  /** All that there is of a session, whose tail need not be kept in memory: it can be read again. */
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

  /** Adds a chunk to a session's bytes, without saving what came of it. */
  async #receive(
    session: OpenSession,
    chunk: Chunk,
    algorithm = algorithmOf(session.hash),
  ): Promise<Received> {
    const { writer, hash, stale } = await this.#reopen(session, chunk, algorithm);
    // It is the writer's now, which may put it aside.
    release(session);
    writer.allowSpilling();
    try {
      const length = await receive(chunk, writer, hash);
      await writer.settle();
      return { writer, hash, offset: session.offset + length, stale };
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  /** Makes ready to go on where a session stands. @param algorithm of the digest that is wanted in the end */
  async #reopen(
    session: OpenSession,
    chunk: Chunk,
    algorithm: Algorithm,
  ): Promise<Pick<Received, 'writer' | 'hash' | 'stale'>> {
    const writer = this.#writer(session);
    const { hash: saved, multipart, tail } = session;
    if (session.offset === 0) {
      const hash = chunk.partial ? await resumableHash(algorithm) : streamHash(algorithm);
      return { writer, hash, stale: [] };
    }
    if (saved.kind === 'resumable' && algorithmOf(saved) === algorithm)
      return { writer, hash: await resumableHash(algorithm, saved.state), stale: [] };
    const hash = await resumableHash(algorithm);
    if (multipart !== undefined) return await this.#rehash(session, writer, hash);
    hash.update(tail);
    return { writer, hash, stale: [] };
  }

  /**
   * Goes on after a stream whose digest cannot go on, or with a digest in another algorithm: the bytes are read once more, as
   * they move to a new multipart upload, for the parts of one in progress cannot be read. Only a client comes here that streams
   * without saying that more will follow, and then sends more, or that did not say which algorithm it would use; docker does
   * neither. The session's parts are an object then, to which no part can be added where these are in the multipart upload:
   * after a wrong digest of another algorithm and last bytes, only this way leads on.
   * @param before has all of the session
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
      await receive({ body, start: 0, length: session.offset, partial: true }, writer, both);
      assertDigest(check.digest(), await digestOf(session));
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
      // Nothing else would tell of a request that began where this one did; the first ones are not worth another look.
      if (session.offset > 0) await this.#sessions.assertUnchanged(session);
      const { multipart, tail } = writer;
      await this.#sessions.save({ ...session, offset, hash: hash.state(), multipart, tail });
    } catch (error) {
      // After any other error the session may have been written all the same, and need its parts.
      if (!(error instanceof PreconditionFailed)) throw error;
      await writer.discard();
      throw new OffsetMismatch(await this.status(session.repository, session.id));
    }
  }

  /** The session goes last: until then, whatever was interrupted can be repeated. */
  async #remove({ id, multipart }: Session): Promise<void> {
    if (multipart !== undefined) {
      await this.#store.abortMultipart(multipart.key, multipart.uploadId);
      await this.#store.delete(keysOf(multipart));
    }
    await this.#sessions.delete(id);
  }
}

/** Keys for bytes of an upload that are not its blob yet, of which there may be thousands. */
function newKeys(id: string): () => string {
  return () => uploadData(id, randomBytes(16).toString('hex'));
}

/** The tail is not needed any more, or a writer has it. */
function release(session: OpenSession): void {
  session.tail = Buffer.alloc(0);
  if (session.writers.length === 0) session.claim?.release();
}

/** Gives back all memory that a request has taken. */
function close({ claim, writers }: OpenSession): void {
  for (const writer of writers) writer.close();
  claim?.release();
}

/** Passes a chunk to a writer and a hash. @returns its bytes */
async function receive(chunk: Chunk, writer: PartWriter, hash: Pick<ContentHash, 'update'>): Promise<number> {
  let length = 0;
  for await (const bytes of chunk.body) {
    length += bytes.byteLength;
    // It need not end.
    if (chunk.length !== undefined && length > chunk.length) break;
    hash.update(bytes);
    await writer.write(bytes);
  }
  if (chunk.length !== undefined && length !== chunk.length)
    throw new RegistryError('SIZE_INVALID', `the request announced ${chunk.length} bytes and sent others`);
  return length;
}

/** The digest of all bytes a session has. */
async function digestOf({ hash }: Session): Promise<Digest> {
  return hash.kind === 'final' ? hash.digest : (await resumableHash(algorithmOf(hash), hash.state)).digest();
}
