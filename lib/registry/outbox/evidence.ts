import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { blobData, repositoryDeletionsPrefix } from '../layout.ts';
import { readLink, showsDigest, undefinedIfDamaged, undefinedIfMissing } from '../links.ts';
import { marksIn, type Marks } from './mark.ts';
import { DeletionRecords, type Deletion } from '../undo/records.ts';

/** What the bucket shows of a write. */
export class Evidence {
  readonly #store: ObjectStore;
  readonly #deletions: DeletionRecords;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.#deletions = new DeletionRecords(store);
  }

  /** An object, as a listing has it: its time has milliseconds on many servers whose headers have seconds, as that of an intent. */
  async find(key: string): Promise<ObjectInfo | undefined> {
    const { objects } = await this.#store.list({ prefix: key, limit: 1 });
    if (objects[0]?.key === key) return objects[0];
    // Lists of stores without conditional writes may lag (Swift).
    return this.#store.limits.honoursOnlyIfAbsent
      ? undefined
      : await undefinedIfMissing(this.#store.head(key));
  }

  /** Whether a link leads to a digest. A damaged one leads nowhere. */
  async leadsTo(link: ObjectInfo, digest: Digest): Promise<boolean> {
    if (showsDigest(link, digest)) return true;
    const read = undefinedIfDamaged(this.#store, link.key, readLink(this.#store, link.key));
    return (await read)?.digest === digest;
  }

  /** Bytes of a blob; undefined if it is gone. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await undefinedIfMissing(this.#store.head(blobData(digest))))?.size;
  }

  /** What the link of a manifest says of those that have written it; nothing if it is gone. */
  async marksOf(key: string): Promise<Marks> {
    const head = await undefinedIfMissing(this.#store.head(key, { metadata: true }));
    return marksIn(head?.metadata ?? {});
  }

  /** Whether a delete that was recorded since a time may have taken a tag. */
  async mayHaveLostTag(name: RepositoryName, tag: Tag, since: Date): Promise<boolean> {
    return await this.#wasDeleted(name, since, ({ tags }) => tags.some((one) => one.tag === tag));
  }

  /** Whether a delete that was recorded since a time may have taken a manifest. */
  async mayHaveLostManifest(name: RepositoryName, digest: Digest, since: Date): Promise<boolean> {
    return await this.#wasDeleted(name, since, ({ manifests }) => manifests.includes(digest));
  }

  /** Whether a delete that was recorded since a time has taken a manifest whose link said that this push was made. */
  async hasLostMade(name: RepositoryName, intent: string, since: Date): Promise<boolean> {
    for await (const { made } of this.#deletions.writtenSince(name, since))
      if (made.includes(intent)) return true;
    return false;
  }

  async #wasDeleted(
    name: RepositoryName,
    since: Date,
    took: (deletion: Deletion) => boolean,
  ): Promise<boolean> {
    if (await this.mayHaveLostAll(name, since)) return true;
    for await (const deletion of this.#deletions.writtenSince(name, since)) if (took(deletion)) return true;
    return false;
  }

  /** Whether a delete of the whole repository was under way since a time: what it takes is recorded in parts, each before it goes. */
  async mayHaveLostAll(name: RepositoryName, since: Date): Promise<boolean> {
    const { objects } = await this.#store.list({ prefix: repositoryDeletionsPrefix(name) });
    return objects.some(({ lastModified }) => lastModified >= since);
  }
}
