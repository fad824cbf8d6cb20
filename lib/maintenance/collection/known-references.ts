import type { Digest } from '../../protocol/digests.ts';
import { parseReferencesKey, referencesKey, referencesPrefix } from '../../registry/layout.ts';
import { undefinedIfDamaged } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { compareKeys, StoreError, type ObjectInfo, type ObjectStore } from '../../storage/store.ts';
import {
  maxPackBytes,
  readPack,
  writePack,
  type KnownRepository,
  type KnownTag,
  type References,
} from './packs.ts';

/** Manifests of one pack. With tags whose links had to be read, which count as well. */
const packSize = 2000;

interface StoredPack {
  readonly key: string;
  readonly name: string;
}

/** What the rest of a look needs, if it goes on in another process. */
export interface SavedReferences {
  /** The last repository that was kept; undefined before the first. */
  readonly repository: string | undefined;
  /** Packs of what is known of repositories after it, and of what is to be written next at this key. */
  readonly known: Buffer;
  readonly pending: Buffer;
  readonly key: string;
  /** The packs that were found, with the hash of their content, and those that were written. */
  readonly found: readonly (readonly [string, string | null])[];
  readonly written: readonly string[];
}

/** What is known of a repository, which its look completes. */
export interface Knowledge {
  readonly manifests: Map<Digest, References>;
  readonly tags: Map<string, KnownTag>;
}

/**
 * What manifests name, kept in the bucket between looks: what a digest names never changes, so each is read once. Packs have the
 * order of the repositories, and are read and written along with the listing, so few of them are in memory. A pack that is damaged
 * or missing costs another read of its manifests, and nothing else.
 */
export class KnownReferences {
  readonly #store: ObjectStore;
  readonly #keeps: boolean;
  readonly #onUnsaved: (error: unknown) => void;
  readonly #stored: AsyncIterator<ObjectInfo, void>;
  /** The first pack that was not read yet. */
  #next: StoredPack | undefined;
  #hasBegun = false;
  /** By name, what the last packs that were read have. */
  #known = new Map<string, KnownRepository[]>();
  /** The content of packs by key, as they were found; only their hashes. */
  readonly #found: Map<string, string | undefined> = new Map<string, string | undefined>();
  readonly #written: Set<string> = new Set<string>();
  #pending: KnownRepository[] = [];
  #pendingSize = 0;
  #key = '';
  #canSave = true;

  /**
   * @param keeps whether packs are written
   * @param onUnsaved is told once why they cannot be
   */
  constructor(
    store: ObjectStore,
    keeps: boolean,
    onUnsaved: (error: unknown) => void,
    saved?: SavedReferences,
  ) {
    this.#store = store;
    this.#keeps = keeps;
    this.#onUnsaved = onUnsaved;
    // All packs up to there have been read, or were written since.
    const startAfter = saved?.repository === undefined ? '' : referencesKey(saved.repository, maxParts);
    this.#stored = listObjects(store, referencesPrefix, { startAfter });
    if (saved === undefined) return;
    this.#known = byName(readPack(saved.known) ?? []);
    this.#pending = readPack(saved.pending) ?? [];
    this.#pendingSize = this.#pending.reduce(
      (sum, { manifests, tags }) => sum + manifests.size + tags.size,
      0,
    );
    this.#key = saved.key;
    this.#found = new Map(saved.found.map(([key, hash]) => [key, hash ?? undefined]));
    this.#written = new Set(saved.written);
  }

  /** @param repository the last one that was kept; undefined before the first */
  save(repository: string | undefined): SavedReferences {
    const isAhead = ({ name }: KnownRepository) =>
      repository === undefined || compareKeys(referencesKey(name, 0), referencesKey(repository, 0)) > 0;
    return {
      repository,
      known: writePack([...this.#known.values()].flat().filter(isAhead)),
      pending: writePack(this.#pending),
      key: this.#key,
      found: [...this.#found].map(([key, hash]) => [key, hash ?? null]),
      written: [...this.#written],
    };
  }

  /** What is known of a repository. Ask in the order of listings. */
  async of(name: string): Promise<Knowledge> {
    if (!this.#hasBegun) await this.#advance();
    this.#hasBegun = true;
    const isPast = ({ key }: StoredPack) => compareKeys(key, referencesKey(name, maxParts)) <= 0;
    while (this.#next !== undefined && isPast(this.#next)) {
      // The one before may have the beginning of this repository.
      const before = this.#known.get(name) ?? [];
      this.#known = byName([...before, ...(await this.#read(this.#next.key))]);
      await this.#advance();
    }
    const parts = this.#known.get(name) ?? [];
    return {
      manifests: new Map(parts.flatMap(({ manifests }) => [...manifests])),
      tags: new Map(parts.flatMap(({ tags }) => [...tags])),
    };
  }

  /** Takes over what is being learnt of the next repository, for a look that rests before it is complete. */
  learn(name: string, knowledge: Knowledge): void {
    this.#known.set(name, [...(this.#known.get(name) ?? []), { name, ...knowledge }]);
  }

  /** Keeps what is known of a repository now. */
  async keep(name: string, { manifests, tags }: Knowledge): Promise<void> {
    let part = 0;
    let left: readonly (readonly [Digest, References])[] = [...manifests];
    let named: ReadonlyMap<string, KnownTag> = tags;
    while (left.length + named.size > 0) {
      if (this.#pendingSize === 0) this.#key = referencesKey(name, part);
      const room = Math.max(packSize - this.#pendingSize, 0);
      const some = left.slice(0, room);
      this.#pending.push({ name, manifests: new Map(some), tags: named });
      this.#pendingSize += some.length + named.size;
      left = left.slice(room);
      named = new Map();
      part += 1;
      if (this.#pendingSize >= packSize) await this.#flush();
    }
    this.#known.delete(name);
  }

  /** Writes the last pack, and deletes those that have become part of others. */
  async close(): Promise<void> {
    if (this.#pendingSize > 0) await this.#flush();
    while (this.#next !== undefined) {
      this.#found.set(this.#next.key, undefined);
      await this.#advance();
    }
    const left = [...this.#found.keys()].filter((key) => !this.#written.has(key));
    if (left.length > 0)
      await this.#save(async () => {
        await this.#store.delete(left);
      });
  }

  async #advance(): Promise<void> {
    this.#next = undefined;
    while (this.#next === undefined) {
      const { value, done } = await this.#stored.next();
      if (done === true) return;
      const name = parseReferencesKey(value.key);
      if (name !== undefined) this.#next = { key: value.key, name };
    }
  }

  async #read(key: string): Promise<readonly KnownRepository[]> {
    const object = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxPackBytes));
    const pack = object && readPack(object.bytes);
    this.#found.set(key, pack && hashIn(object.bytes));
    return pack ?? [];
  }

  async #flush(): Promise<void> {
    const bytes = writePack(this.#pending);
    const key = this.#key;
    this.#pending = [];
    this.#pendingSize = 0;
    this.#written.add(key);
    if (this.#found.get(key) === hashIn(bytes)) return;
    await this.#save(async () => {
      await this.#store.put(key, bytes);
    });
  }

  /** A look goes on without. */
  async #save(save: () => Promise<void>): Promise<void> {
    if (!this.#keeps || !this.#canSave) return;
    try {
      await save();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#canSave = false;
      this.#onUnsaved(error);
    }
  }
}

/** More than a repository has. */
const maxParts = 999_999;

function byName(repositories: readonly KnownRepository[]): Map<string, KnownRepository[]> {
  return Map.groupBy(repositories, ({ name }) => name);
}

function hashIn(pack: Buffer): string {
  return pack.toString('latin1', 0, 64);
}
