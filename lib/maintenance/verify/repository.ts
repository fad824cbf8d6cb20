import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { layerLink, repositoryPrefix, revisionLink } from '../../registry/layout.ts';
import { exists, showsDigest } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey } from '../../registry/repository-keys.ts';
import type { ObjectInfo } from '../../storage/store.ts';
import { danglingLayerLink, missingSignature, type Finding } from './findings.ts';
import { parallelLooks, unlessUnreadable, type Inspection, type Suspect } from './inspection.ts';
import { linkFinding } from './links.ts';
import { noBytes, type Entry, type Listed } from './listed.ts';
import { ManifestChecks } from './manifests.ts';
import { ReferrerChecks } from './referrers.ts';
import { TagChecks } from './tags.ts';

/** Keys of a listing that are looked at together. */
const batchSize = 256;

/** What seems wrong in a repository before it is looked at again. */
const maxSuspects = 1000;

/** Checks one repository as its keys are listed. */
export class RepositoryCheck {
  readonly name: RepositoryName;
  readonly #inspection: Inspection;
  readonly #listed: Listed;
  readonly #manifests: ManifestChecks;
  readonly #tags: TagChecks;
  readonly #referrers: ReferrerChecks;
  #batch: Entry[] = [];
  #suspects: Suspect[] = [];
  #hasDangling = false;

  constructor(inspection: Inspection, name: RepositoryName, listed: Listed) {
    this.name = name;
    this.#inspection = inspection;
    this.#listed = listed;
    listed.layers.clear();
    listed.revisions.clear();
    this.#referrers = new ReferrerChecks(inspection, name, listed);
    this.#manifests = new ManifestChecks(inspection, name, listed, this.#referrers);
    this.#tags = new TagChecks(inspection, name, listed);
    inspection.counts.repositories += 1;
  }

  /** Takes the next key of the listing. */
  async *add(entry: Entry): AsyncGenerator<Finding, void> {
    const [first] = this.#batch;
    const isFull = this.#batch.length >= batchSize;
    if (first !== undefined && (isFull || sectionOf(first) !== sectionOf(entry))) yield* this.#flush();
    this.#batch.push(entry);
  }

  /** After the last key. */
  async *end(): AsyncGenerator<Finding, void> {
    yield* this.#flush();
    this.#suspects.push(...this.#manifests.end(), ...this.#tags.end());
    yield* this.#confirm();
    if (this.#hasDangling) yield* this.#danglingLinks();
  }

  async *#flush(): AsyncGenerator<Finding, void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#suspects.push(...(await this.#check(batch)));
    if (this.#suspects.length >= maxSuspects) yield* this.#confirm();
  }

  async *#confirm(): AsyncGenerator<Finding, void> {
    const suspects = this.#suspects;
    this.#suspects = [];
    yield* this.#inspection.confirm(suspects);
  }

  /** @param batch of one section */
  async #check(batch: readonly Entry[]): Promise<readonly Suspect[]> {
    const of = <Kind extends Entry['kind']>(kind: Kind) =>
      batch.filter((entry): entry is Entry<Kind> => entry.kind === kind);
    const [layers, revisions, signatures] = [of('layer'), of('revision'), of('signature')];
    return [
      ...this.#links([...layers, ...revisions]),
      ...(await this.#layers(layers)),
      ...(await this.#manifests.check(revisions)),
      ...(await this.#signatures(signatures)),
      ...batch.flatMap((entry) =>
        entry.kind === 'tag' || entry.kind === 'tag index' ? this.#tags.take(entry) : [],
      ),
      ...this.#referrers.check(of('referrer')),
    ];
  }

  /** Links that may hold something else than their digest. */
  #links(entries: readonly (Entry<'layer'> | Entry<'revision'>)[]): Suspect[] {
    const { store } = this.#inspection;
    return entries
      .filter(({ object, digest }) => !showsDigest(object, digest))
      .map(({ object, digest }) => ({
        named: object,
        look: async () => await linkFinding(store, this.name, object.key, digest),
      }));
  }

  /** Notes which layers have bytes. */
  async #layers(entries: readonly Entry<'layer'>[]): Promise<Suspect[]> {
    const looked = await inParallel(entries, parallelLooks, async ({ object, digest }) => {
      const found: { size?: number | undefined } = {};
      const suspects = await unlessUnreadable(object, async () => {
        found.size = await this.#inspection.blobSize(digest);
        return [];
      });
      return { suspects, size: found.size };
    });
    for (const [at, { digest }] of entries.entries()) {
      const { size = noBytes } = looked[at] ?? {};
      this.#listed.layers.append(digest, size);
      if (size === noBytes) this.#hasDangling = true;
    }
    return looked.flatMap(({ suspects }) => suspects);
  }

  /** Links without bytes, from another listing: which of them a manifest needs was not known before. */
  async *#danglingLinks(): AsyncGenerator<Finding, void> {
    const prefix = `${repositoryPrefix(this.name)}layers/`;
    for await (const object of listObjects(this.#inspection.store, prefix, { skipUnreadable: true })) {
      const key = parseRepositoryKey(object.key);
      if (key?.kind !== 'layer' || (await this.#isUsable(key.digest))) continue;
      yield* this.#inspection.confirm([this.#danglingLink(object, key.digest)]);
    }
  }

  /** Whether a layer has bytes, or lacks them and has been reported. */
  async #isUsable(digest: Digest): Promise<boolean> {
    const size = this.#listed.layers.get(digest) ?? (await this.#inspection.blobSize(digest)) ?? noBytes;
    return size !== noBytes || this.#manifests.needsMissing(digest);
  }

  #danglingLink(named: ObjectInfo, digest: Digest): Suspect {
    const { store } = this.#inspection;
    const look = async () => {
      // In this order: a push writes the bytes before the link.
      const isThere = (await exists(store, layerLink(this.name, digest))) && (await this.#hasNoBytes(digest));
      return isThere ? danglingLayerLink(this.name, digest) : undefined;
    };
    return { named, look };
  }

  async #hasNoBytes(digest: Digest): Promise<boolean> {
    return (await this.#inspection.askBlobSize(digest)) === undefined;
  }

  /** Of schema 1 manifests, as distribution 2.3 stored them. */
  async #signatures(entries: readonly Entry<'signature'>[]): Promise<Suspect[]> {
    const suspects = await inParallel(
      entries,
      parallelLooks,
      async (entry) => await unlessUnreadable(entry.object, async () => await this.#signature(entry)),
    );
    return suspects.flat();
  }

  async #signature({ object, digest, manifest }: Entry<'signature'>): Promise<Suspect[]> {
    if ((await this.#inspection.blobSize(digest)) !== undefined) return [];
    const look = async () => {
      const isLinked = await exists(this.#inspection.store, revisionLink(this.name, manifest));
      return isLinked && (await this.#hasNoBytes(digest))
        ? missingSignature(this.name, digest, manifest)
        : undefined;
    };
    return [{ named: object, look }];
  }
}

/** Keys of a section are looked at together. */
function sectionOf({ kind }: Entry): Entry['kind'] {
  return kind === 'tag index' ? 'tag' : kind === 'signature' ? 'revision' : kind;
}
