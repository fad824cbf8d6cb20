import type { RepositoryName } from '../../protocol/names.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import { uploadSession } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';
import { maxTailBytes } from './part-sizes.ts';
import { decodeSession, encodeSession, maxDescriptionBytes, type Session } from './session-object.ts';

/** The upload sessions in a store. */
export class Sessions {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @returns undefined if it was finished, cancelled or purged */
  async load(name: RepositoryName, id: string): Promise<Session | undefined> {
    const maxTail = Math.max(maxTailBytes, this.#store.limits.partSize);
    const read = this.#store.read(uploadSession(id), maxDescriptionBytes + maxTail);
    const object = await undefinedIfMissing(read);
    if (object === undefined) return undefined;
    const session = decodeSession(id, object.bytes, object.etag);
    if (session.repository !== name) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return session;
  }

  /**
   * Writes a session; where the store honours it, only if it has not changed since it was loaded. Otherwise the last
   * write wins, and bytes that two requests mixed are detected later, by their digest or the ETags of their parts.
   * @throws PreconditionFailed
   */
  async save(session: Session): Promise<void> {
    const condition = session.etag === undefined ? { onlyIfAbsent: true } : { ifMatch: session.etag };
    await this.#store.put(uploadSession(session.id), encodeSession(session), condition);
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
    await this.#store.delete([uploadSession(id), ...keys]);
  }
}
