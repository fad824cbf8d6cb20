import type { Digest } from '../../protocol/digests.ts';
import { blobsPrefix, parseBlobData } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { Ages, type AgeOptions } from './ages.ts';
import { KnownReferences } from './known-references.ts';
import { anyLink, has, listRepositories, type ListedRepository } from './listed-repository.ts';
import { readNamed, type NamedManifests } from './named-manifests.ts';
import { Reach } from './reach.ts';
import { partitionOf, Spool, type Owner, type SpooledOwners } from './spool.ts';

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
 * In memory are one repository, some packs, and a part of the digests: see {@link Spool}.
 * @throws StoreUnavailable also for a folder that cannot be read
 */
export async function look(store: ObjectStore, options: LookOptions, visitor: Visitor): Promise<void> {
  const { onProgress = () => undefined } = options;
  const ages = new Ages(store, options, Date.now());
  const spool = new Spool();
  try {
    let keys = 0;
    const isYoung = (object: ObjectInfo) => ages.isYoung(object);
    const listed = listRepositories(store, isYoung, (repository) => {
      onProgress({ phase: 'repositories', keys: ++keys, repository });
    });
    await seeRepositories(store, options, ages, listed, visitor, spool);
    let blobs = 0;
    for await (const { digest, object, owners } of seeDigests(store, spool)) {
      const seeing =
        object === undefined
          ? visitor.missing?.({ digest, owners })
          : visitor.blob({ digest, size: object.size, isYoung: ages.isYoung(object), owners });
      if (seeing !== undefined) await seeing;
      if (object !== undefined) onProgress({ phase: 'blobs', blobs: ++blobs });
    }
  } finally {
    spool.close();
  }
}

async function seeRepositories(
  store: ObjectStore,
  { keeps = false, onUnsaved = () => undefined }: LookOptions,
  ages: Ages,
  repositories: AsyncIterable<ListedRepository>,
  visitor: Visitor,
  spool: Spool,
): Promise<void> {
  const references = new KnownReferences(store, keeps, onUnsaved);
  let id = 0;
  for await (const listed of repositories) {
    const { named, knowledge } = await readNamed(store, listed, await references.of(listed.name));
    await references.keep(listed.name, knowledge);
    const reach = new Reach(listed, named);
    const youngManifests = reach.mark(ages.untaggedUntil(listed.name));
    const seen = { id, listed, named, reach, youngManifests };
    addOwner(spool, seen);
    await visitor.repository(seen, (digest, other) => {
      spool.add(digest, { id: other, flags: owns.other });
    });
    id += 1;
  }
  await references.close();
}

const youngLinks = has.youngLayer | has.youngRevision | has.youngSignature;

function addOwner(spool: Spool, { id, listed, named }: SeenRepository): void {
  const { digests, flags, signatures } = listed;
  for (const { blob, isYoung } of signatures)
    flags.add(blob, isYoung ? has.layer | has.youngLayer : has.layer);
  const hold = named.damage.length > 0 ? owns.hold : 0;
  for (let number = 0; number < digests.size; number++) {
    const of = flags.get(number);
    const owned =
      hold |
      ((of & anyLink) === 0 ? 0 : owns.link) |
      ((of & youngLinks) === 0 ? 0 : owns.youngLink) |
      ((of & has.needed) === 0 ? 0 : owns.need);
    if (owned !== 0) spool.add(digests.get(number), { id, flags: owned });
  }
}

interface SeenDigest {
  readonly digest: Digest;
  /** Its bytes, if there are any. */
  readonly object: ObjectInfo | undefined;
  readonly owners: readonly Owner[];
}

/** All digests with bytes or owners. Listings have the order of digests, so the owners are read along. */
async function* seeDigests(store: ObjectStore, spool: Spool): AsyncGenerator<SeenDigest, void> {
  const partitions = spool.partitions;
  let partition = '';
  let owners: SpooledOwners | undefined;
  for await (const object of listObjects(store, blobsPrefix)) {
    const digest = parseBlobData(object.key);
    if (digest === undefined) continue;
    const wanted = partitionOf(digest);
    if (wanted !== partition || owners === undefined) {
      yield* missing(owners?.before());
      for (; (partitions[0] ?? wanted) < wanted; partitions.shift())
        yield* missing(spool.read(partitions[0] ?? '').before());
      if (partitions[0] === wanted) partitions.shift();
      owners = spool.read(wanted);
      partition = wanted;
    }
    yield* missing(owners.before(digest));
    yield { digest, object, owners: owners.of(digest) };
  }
  yield* missing(owners?.before());
  for (const left of partitions) yield* missing(spool.read(left).before());
}

function* missing(owners: ReturnType<SpooledOwners['before']> | undefined): Generator<SeenDigest, void> {
  for (const { digest, owners: of } of owners ?? []) yield { digest, object: undefined, owners: of };
}
