import type { Digest } from '../../protocol/digests.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { Ages, type AgeOptions } from './ages.ts';
import { KnownReferences, type Knowledge, type SavedReferences } from './known-references.ts';
import { anyLink, has, listRepositories, type ListedRepository } from './listed-repository.ts';
import { pulledLately, taggedLately, untaggedLately } from './lately-tagged.ts';
import { digestsAfter } from './listed-digests.ts';
import { readNamed, type NamedManifests } from './named-manifests.ts';
import { Reach } from './reach.ts';
import { LocalSegments } from './segments.ts';
import { Spool, type Owner } from './spool.ts';

/** How a look goes on. */
export type Progress =
  | { readonly phase: 'repositories'; readonly keys: number; readonly repository: string }
  | { readonly phase: 'blobs'; readonly blobs: number };

export interface LookOptions extends AgeOptions {
  /** Whether what manifests name is kept in the bucket for the next look. */
  readonly keeps?: boolean;
  /** Told once why that cannot be kept. */
  readonly onUnsaved?: (error: unknown) => void;
  readonly onProgress?: (progress: Progress) => void;
}

/** What the owner of a digest has of it. */
export const owns = {
  /** A link. */
  link: 1,
  youngLink: 2,
  /** Something there that stays needs it. */
  need: 4,
  /** It is not known who needs it there. */
  hold: 8,
  /** The owner is not a repository, but what a visitor has added. */
  other: 16,
} as const;

/** A repository whose manifests were read. */
export interface SeenRepository {
  /** From 0, in order. */
  readonly id: number;
  readonly listed: ListedRepository;
  readonly named: NamedManifests;
  readonly reach: Reach;
  /** Manifests that stay only because they are young. */
  readonly youngManifests: number;
}

/** The bytes of a blob or manifest. */
export interface SeenBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly isYoung: boolean;
  /** Repositories, and what a visitor has added: see {@link owns}. */
  readonly owners: readonly Owner[];
}

/** Receives all repositories, and then all blobs. The look waits for what it returns. */
export interface Visitor {
  /** @param add counts something else as an owner of a digest, such as a tag */
  repository(seen: SeenRepository, add: (digest: Digest, id: number) => void): Promise<void> | void;
  blob(seen: SeenBlob): Promise<void> | void;
  /** A digest without bytes that has owners, such as a link. It comes between blobs, in the order of digests. */
  missing?(seen: Pick<SeenBlob, 'digest' | 'owners'>): Promise<void> | void;
}

/**
 * Reads what a bucket has, and who needs it: two listings, and each manifest that no look has read before. It changes nothing but
 * what it keeps for the next look. It is not a snapshot: what is pushed or deleted meanwhile may count or not.
 *
 * In memory are one repository, some packs, and a part of the digests: see {@link Spool}. The others are in a temporary file.
 * @throws StoreUnavailable also for a folder that cannot be read
 */
export async function look(store: ObjectStore, options: LookOptions, visitor: Visitor): Promise<void> {
  const segments = new LocalSegments();
  try {
    await new LookRun(store, options, visitor, new Spool(segments)).run(() => 'go on');
  } finally {
    segments.close();
  }
}

/** Where a look is. With it and what its spool has, another process can go on. */
export interface LookPosition {
  /** When the look began, in milliseconds by the clock of the machine. */
  readonly began: number;
  /** Repositories that were seen. */
  readonly repositories: number;
  /** Where it is among the repositories; undefined after the last. */
  readonly references?: SavedReferences | undefined;
  /** Whether all repositories were seen. */
  readonly isAtBlobs: boolean;
  /** The last digest that was seen then. */
  readonly digest?: Digest | undefined;
}

/** Asked often, at least after each repository and digest. While it is pending, the look rests, and may be saved. */
export type Rest = () => 'go on' | Promise<'go on' | 'stop'>;

/** A look, or the rest of one that was interrupted. */
export class LookRun {
  readonly #store: ObjectStore;
  readonly #options: LookOptions;
  readonly #visitor: Visitor;
  readonly #spool: Spool;
  readonly #ages: Ages;
  readonly #began: number;
  #references: KnownReferences;
  #repositories: number;
  /** The last one. */
  #repository: string | undefined;
  #isAtBlobs: boolean;
  #digest: Digest | undefined;

  /** @param from where it was interrupted */
  constructor(
    store: ObjectStore,
    options: LookOptions,
    visitor: Visitor,
    spool: Spool,
    from: LookPosition = { began: Date.now(), repositories: 0, isAtBlobs: false },
  ) {
    const { keeps = false, onUnsaved = () => undefined } = options;
    this.#store = store;
    this.#options = options;
    this.#visitor = visitor;
    this.#spool = spool;
    this.#ages = new Ages(store, options, from.began);
    this.#began = from.began;
    this.#references = new KnownReferences(store, keeps, onUnsaved, from.references);
    this.#repositories = from.repositories;
    this.#repository = from.references?.repository;
    this.#isAtBlobs = from.isAtBlobs;
    this.#digest = from.digest;
  }

  /** Where it rests. All that was seen must be in the segments of the spool: flush it first. */
  get position(): LookPosition {
    return {
      began: this.#began,
      repositories: this.#repositories,
      references: this.#isAtBlobs ? undefined : this.#references.save(this.#repository),
      isAtBlobs: this.#isAtBlobs,
      digest: this.#digest,
    };
  }

  /** @returns whether it is complete */
  async run(rest: Rest): Promise<boolean> {
    if (!this.#isAtBlobs) {
      if (!(await this.#seeRepositories(rest))) return false;
      await this.#references.close();
      await this.#spool.flush();
      this.#isAtBlobs = true;
      if ((await rest()) === 'stop') return false;
    }
    return await this.#seeDigests(rest);
  }

  async #seeRepositories(rest: Rest): Promise<boolean> {
    const { onProgress = () => undefined } = this.#options;
    let keys = 0;
    const isYoung = (object: ObjectInfo) => this.#ages.isYoung(object);
    const repositories = listRepositories(this.#store, isYoung, {
      after: this.#repository,
      onKey: (repository) => {
        onProgress({ phase: 'repositories', keys: ++keys, repository });
      },
    });
    for await (const listed of repositories) {
      if (!(await this.#seeRepository(listed, rest))) return false;
      this.#repositories += 1;
      this.#repository = listed.name;
      if (this.#spool.isFull) await this.#spool.flush();
      const resting = rest();
      if (resting !== 'go on' && (await resting) === 'stop') return false;
    }
    return true;
  }

  /** @returns false if it was told to stop before */
  async #seeRepository(listed: ListedRepository, rest: Rest): Promise<boolean> {
    const references = this.#references;
    const known = await references.of(listed.name);
    const knowledge: Knowledge = { manifests: new Map(), tags: new Map() };
    references.learn(listed.name, knowledge);
    const named = await readNamed(this.#store, listed, known, knowledge, rest);
    if (named === undefined) return false;
    await references.keep(listed.name, knowledge);
    const reach = new Reach(listed, named);
    const youngManifests = await this.#mark(reach, listed);
    const seen = { id: this.#repositories, listed, named, reach, youngManifests };
    for (const [digest, owner] of ownersIn(seen)) {
      this.#spool.add(digest, owner);
      if (this.#spool.isFull) await this.#spool.flush();
    }
    await this.#visitor.repository(seen, (digest, id) => {
      this.#spool.add(digest, { id, flags: owns.other });
    });
    return true;
  }

  /** @returns how many manifests stay only because of their age */
  async #mark(reach: Reach, listed: ListedRepository): Promise<number> {
    const until = this.#ages.untaggedUntil(listed.name);
    let young = reach.mark(until);
    if (until === undefined || this.#options.untaggedFrom !== 'last tag') return young;
    young += reach.keep(taggedLately(listed, until));
    if (reach.hasUnneeded)
      young += reach.keep(await Array.fromAsync(untaggedLately(this.#store, listed, until)));
    if (this.#options.countsPulls?.(listed.name) === true && reach.hasUnneeded)
      young += reach.keep(await Array.fromAsync(pulledLately(this.#store, listed, until)));
    return young;
  }

  async #seeDigests(rest: Rest): Promise<boolean> {
    const { onProgress = () => undefined } = this.#options;
    let blobs = 0;
    for await (const { digest, object, owners } of digestsAfter(this.#store, this.#spool, this.#digest)) {
      const seeing =
        object === undefined
          ? this.#visitor.missing?.({ digest, owners })
          : this.#visitor.blob({ digest, size: object.size, isYoung: this.#ages.isYoung(object), owners });
      if (seeing !== undefined) await seeing;
      if (object !== undefined) onProgress({ phase: 'blobs', blobs: ++blobs });
      this.#digest = digest;
      const resting = rest();
      if (resting !== 'go on' && (await resting) === 'stop') return false;
    }
    return true;
  }
}

const youngLinks = has.youngLayer | has.youngRevision | has.youngSignature;

function* ownersIn({ id, listed, named }: SeenRepository): Generator<[Digest, Owner], void> {
  const { digests, flags } = listed;
  const hold = named.damage.length > 0 ? owns.hold : 0;
  for (let number = 0; number < digests.size; number++) {
    const of = flags.get(number);
    const owned =
      hold |
      ((of & anyLink) === 0 ? 0 : owns.link) |
      ((of & youngLinks) === 0 ? 0 : owns.youngLink) |
      ((of & has.needed) === 0 ? 0 : owns.need);
    if (owned !== 0) yield [digests.get(number), { id, flags: owned }];
  }
}
