import { parseRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import type { HashState } from './content-hash.ts';
import { uploadSession } from '../layout.ts';
import { orUndefined } from '../links.ts';
import { maxTail, type Multipart } from './part-writer.ts';

/**
 * An upload under way: all there is to know to go on with it, in one object, so that state and bytes never disagree and
 * any process can take the next request.
 */
export interface Session {
  readonly id: string;
  readonly repository: RepositoryName;
  readonly startedAt: Date;
  /** Bytes received. */
  readonly offset: number;
  readonly hash: HashState;
  /** Where the bytes are that fill a part; undefined while all of them are in the tail. */
  readonly multipart: Multipart | undefined;
  /** The bytes after the last part, fewer than a store's smallest part. */
  readonly tail: Buffer;
  /** Of the session object when it was loaded. */
  readonly etag: string | undefined;
}

/** Above the description before the tail: 10,000 parts of some 200 bytes. */
const maxDescription = 4 * 1024 * 1024;

/** The upload sessions of a store: `uploads/<id>/session`, a line of JSON and then the tail's bytes. */
export class Sessions {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @returns undefined when it was finished, cancelled or swept */
  async load(name: RepositoryName, id: string): Promise<Session | undefined> {
    const object = await orUndefined(this.#store.read(uploadSession(id), this.#maxSize));
    if (object === undefined) return undefined;
    const session = decode(id, object.bytes, object.etag);
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
    await this.#store.put(uploadSession(session.id), encode(session), condition);
  }

  /**
   * Looks just before a session is saved whether it is as it was loaded, where the store cannot do that as it saves.
   * @throws PreconditionFailed
   */
  async assertUnchanged({ id, etag }: Session): Promise<void> {
    if (this.#store.limits.conditionalWrites) return;
    const key = uploadSession(id);
    const now = await orUndefined(this.#store.head(key));
    if (now?.etag !== etag) throw new PreconditionFailed(key);
  }

  /** @param keys of what else goes with it */
  async delete(id: string, keys: readonly string[] = []): Promise<void> {
    await this.#store.delete([uploadSession(id), ...keys]);
  }

  /** A tail is less than a part. */
  get #maxSize(): number {
    return maxDescription + Math.max(maxTail, this.#store.limits.partSize);
  }
}

function encode({ repository, startedAt, offset, hash, multipart, tail }: Session): Buffer {
  // Who knows of no parts that are apart would leave them out.
  const version = multipart?.parts.some(({ key }) => key !== undefined) === true ? 2 : 1;
  const description = { version, repository, startedAt, offset, hash, multipart };
  return Buffer.concat([Buffer.from(`${JSON.stringify(description)}\n`), tail]);
}

function decode(id: string, bytes: Buffer, etag: string): Session {
  const end = bytes.indexOf('\n');
  const description = JSON.parse(bytes.toString('utf8', 0, end)) as Description;
  if (description.version !== 1 && description.version !== 2) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  return {
    id,
    repository: parseRepositoryName(description.repository),
    startedAt: new Date(description.startedAt),
    offset: description.offset,
    hash: description.hash,
    multipart: description.multipart,
    tail: bytes.subarray(end + 1),
    etag,
  };
}

interface Description extends Pick<Session, 'offset' | 'hash'> {
  readonly version: number;
  readonly repository: string;
  readonly startedAt: string;
  readonly multipart?: Multipart;
}
