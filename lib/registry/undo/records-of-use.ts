import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { StoreUnavailable, type ObjectStore } from '../../storage/store.ts';
import { blobData, parseDeletedKey } from '../layout.ts';
import { exists } from '../links.ts';
import { digestOfLink } from '../repository-keys.ts';
import { DeletionRecords } from './records.ts';
import { RepositoryRecords } from './repository-records.ts';

/** Concurrent looks at records and bytes. */
const parallelLooks = 16;

type HasBytes = (digest: Digest) => Promise<boolean>;

/**
 * Finds out which records of deletes may still bring something back: the bytes of a manifest in them are there. One request for each
 * manifest, and one more for each record of several. For each record of a whole repository five, and one for each part of its manifests
 * until there are bytes.
 */
export class RecordsOfUse {
  readonly #store: ObjectStore;
  /** Whether records of whole repositories are of use, by repository and id. */
  readonly #repositories = new Map<string, Promise<boolean>>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @param keys of records, or of their parts @returns those that are of use @throws StoreUnavailable */
  async among(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const looks = new Map<Digest, Promise<boolean>>();
    const hasBytes: HasBytes = async (digest) => {
      const look = looks.get(digest) ?? exists(this.#store, blobData(digest));
      looks.set(digest, look);
      return await look;
    };
    const areOfUse = await inParallel(keys, parallelLooks, async (key) => await this.#isOfUse(key, hasBytes));
    return new Set(keys.filter((_, i) => areOfUse[i]));
  }

  async #isOfUse(key: string, hasBytes: HasBytes): Promise<boolean> {
    const parsed = parseDeletedKey(key);
    if (parsed === undefined) return false;
    const { name, deletion } = parsed;
    if (deletion === undefined)
      return await anyOf(await new DeletionRecords(this.#store).manifestsOf(name, key), hasBytes);
    const id = `${name} ${deletion}`;
    const look = this.#repositories.get(id) ?? this.#isRepositoryOfUse(name, deletion, hasBytes);
    this.#repositories.set(id, look);
    return await look;
  }

  async #isRepositoryOfUse(name: RepositoryName, deletion: string, hasBytes: HasBytes): Promise<boolean> {
    const records = new RepositoryRecords(this.#store, name);
    try {
      const record = await records.find(deletion);
      if (record === undefined || record.isRestored) return false;
      for await (const objects of records.parts(record, 'manifests')) {
        const digests = objects.flatMap((object) => digestOfLink(object.key) ?? []);
        if (await anyOf(digests, hasBytes)) return true;
      }
      return false;
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      // Nothing comes back from a damaged one.
      return false;
    }
  }
}

/** One after another: mostly the first is there, or none is. */
async function anyOf(digests: readonly Digest[], hasBytes: HasBytes): Promise<boolean> {
  for (const digest of digests) if (await hasBytes(digest)) return true;
  return false;
}
