import type { RepositoryName } from '../../protocol/names.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import { ExpiringCache } from '../expiring-cache.ts';
import { uploadSession } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';
import { maxTailBytes, unclaimedBytes } from './part-sizes.ts';
import {
  DamagedSession,
  decodeSession,
  encodeSession,
  maxDescriptionBytes,
  type Session,
} from './session-object.ts';

/** How long a saved session may be used without a look at the bucket, in milliseconds. */
const savedTtlMs = 60_000;

/** Bytes of all saved sessions that are remembered. */
const maxSavedBytes = 4 * 1024 * 1024;

/** Whether a session is what a request expects, by its offset or its digest. */
export type FitsRequest = (saved: Session) => boolean | Promise<boolean>;

/** The upload sessions in a store. */
export class Sessions {
  readonly #store: ObjectStore;
  /** By upload, sessions that this process has just saved: the next request mostly meets the same process. */
  readonly #saved = new ExpiringCache<string, Session>({
    ttlMs: savedTtlMs,
    maxSize: maxSavedBytes,
    sizeOf: ({ tail, multipart }) => 1000 + tail.byteLength + 300 * (multipart?.parts.length ?? 0),
  });

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * The session that this process has just saved. It is returned once: after a failure the bucket is asked. Another process
   * may have changed it meanwhile, which a save detects only where the store honours `ifMatch`; what is committed is proven
   * by its digest.
   * @param fits otherwise it is not returned
   */
  async takeSaved(name: RepositoryName, id: string, fits: FitsRequest): Promise<Session | undefined> {
    const saved = this.#saved.take(id);
    return saved?.repository === name && (await fits(saved)) ? saved : undefined;
  }

  /** @returns undefined if it was finished, cancelled or purged, or is damaged: sessions need not survive a power cut */
  async load(name: RepositoryName, id: string): Promise<Session | undefined> {
    const maxTail = Math.max(maxTailBytes, this.#store.limits.partSize);
    const read = this.#store.read(uploadSession(id), maxDescriptionBytes + maxTail);
    const object = await undefinedIfMissing(read);
    if (object === undefined) return undefined;
    const session = this.#decode(id, object);
    if (session === undefined) return undefined;
    if (session.repository !== name) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return session;
  }

  #decode(
    id: string,
    { key, bytes, etag }: { key: string; bytes: Buffer; etag: string },
  ): Session | undefined {
    try {
      return decodeSession(id, bytes, etag);
    } catch (error) {
      if (!(error instanceof DamagedSession)) throw error;
      this.#store.onDamaged?.(key, error);
      return undefined;
    }
  }

  /**
   * Writes a session; where the store honours it, only if it has not changed since it was loaded. Otherwise the last
   * write wins, and bytes that two requests mixed are detected later, by their digest or the ETags of their parts.
   * @throws PreconditionFailed
   */
  async save(session: Session): Promise<void> {
    const condition = session.etag === undefined ? { onlyIfAbsent: true } : { ifMatch: session.etag };
    const options = { ...condition, transient: true };
    const { etag } = await this.#store.put(uploadSession(session.id), encodeSession(session), options);
    this.#remember({ ...session, etag });
  }

  #remember(session: Session): void {
    // Larger ones need memory that is claimed.
    if (session.tail.byteLength > unclaimedBytes) return;
    // The buffer is the writer's.
    const tail = Buffer.allocUnsafeSlow(session.tail.byteLength);
    session.tail.copy(tail);
    this.#saved.set(session.id, { ...session, tail });
  }

  /**
   * Where the store does not, checks just before saving that a session has not changed since it was loaded.
   * @throws PreconditionFailed
   */
  async assertUnchanged({ id, etag }: Session): Promise<void> {
    if (this.#store.limits.honoursIfMatch) return;
    const key = uploadSession(id);
    const now = await undefinedIfMissing(this.#store.head(key));
    if (now?.etag !== etag) throw new PreconditionFailed(key);
  }

  /** @param keys of other objects to delete with it */
  async delete(id: string, keys: readonly string[] = []): Promise<void> {
    this.#saved.delete(id);
    await this.#store.delete([uploadSession(id), ...keys], { transient: true });
  }
}
