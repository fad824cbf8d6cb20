import type { RepositoryName } from '../../protocol/names.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import { uploadSession } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';
import { maxTailBytes } from './part-writer.ts';
import { decodeSession, encodeSession, maxDescriptionBytes, type Session } from './session-object.ts';

/** The upload sessions of a store: `uploads/<id>/session`, a line of JSON and then the tail's bytes. */
export class Sessions {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @returns undefined when it was finished, cancelled or swept */
  async load(name: RepositoryName, id: string): Promise<Session | undefined> {
    const object = await undefinedIfMissing(this.#store.read(uploadSession(id), this.#maxSize));
    if (object === undefined) return undefined;
    const session = decodeSession(id, object.bytes, object.etag);
    if (session.repository !== name) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return session;
  }

  /**
   * Writes a session, where the store can tell only if nobody else has written it since it was loaded. Where it cannot,
   * the last one stands whole; what two writers mixed then fails at its digest or its parts' ETags, not later.
   * @throws PreconditionFailed
   */
  async save(session: Session): Promise<void> {
    const condition = session.etag === undefined ? { onlyIfAbsent: true } : { ifMatch: session.etag };
    await this.#store.put(uploadSession(session.id), encodeSession(session), condition);
  }

  /**
   * Looks just before a session is saved whether it is as it was loaded, where the store cannot do that as it saves.
   * @throws PreconditionFailed
   */
  async assertUnchanged({ id, etag }: Session): Promise<void> {
    if (this.#store.limits.conditionalWrites) return;
    const key = uploadSession(id);
    const now = await undefinedIfMissing(this.#store.head(key));
    if (now?.etag !== etag) throw new PreconditionFailed(key);
  }

  /** @param keys of what else goes with it */
  async delete(id: string, keys: readonly string[] = []): Promise<void> {
    await this.#store.delete([uploadSession(id), ...keys]);
  }

  /** A tail is less than a part. */
  get #maxSize(): number {
    return maxDescriptionBytes + Math.max(maxTailBytes, this.#store.limits.partSize);
  }
}
