import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { attachedTo } from '../../protocol/referrers.ts';
import { layerLink, referrersScan, revisionLink } from '../../registry/layout.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { ManifestDepths } from './manifest-depths.ts';
import { KeyLines } from './key-lines.ts';
import type { ListedCondemned } from './listed-condemned.ts';
import type { ResumableVisitor } from './look-steps.ts';
import { owns, type SeenBlob, type SeenRepository } from './look.ts';
import { formatAbout, parseAbout, PlanWriter, type DeletionPhase, type SavedPlan } from './plan.ts';
import { keyOf, linksOf, type RepositoryLink } from './repository-links.ts';
import { BucketSegments, type LocalSegments } from './segments.ts';
import { UnindexedReferrers } from './unindexed-referrers.ts';

/** Most keys of a planned deletion. Blobs may have more links, which are several. */
const maxKeys = 1000;

/** Numbers of owners from here on are those of lines of keys; lower ones are a repository, and how its link goes. */
const firstKey = 2 ** 31;

/** When a link of a manifest or blob goes: added to the number of its repository, times these. */
const linkPhases = [
  'manifests',
  'children',
  'grandchildren',
  'blobs',
] as const satisfies readonly DeletionPhase[];

/** A blob with its owners, or what is left of one without bytes. */
interface Seen extends Pick<SeenBlob, 'digest' | 'owners'> {
  readonly blob?: Pick<SeenBlob, 'size' | 'isYoung'>;
}

interface SavedSecondLook {
  readonly plan: SavedPlan;
  /** The segments of the lines of keys, and where they start. */
  readonly segments: readonly string[];
  readonly starts: readonly number[];
  readonly names: string[];
  readonly left: Record<'needed' | 'renewed' | 'held', number>;
}

/** Plans the deletion of what is condemned, unless something needs it again, or it is newer than the mark. */
export class SecondLook implements ResumableVisitor {
  readonly #condemned: ListedCondemned;
  readonly #plan: PlanWriter;
  readonly #segments: LocalSegments | BucketSegments;
  #keys: KeyLines;
  /** By number of the repository. */
  #names: string[] = [];
  readonly #left = { needed: 0, renewed: 0, held: 0 };

  /** @param segments for keys that are more than a digest and a repository */
  constructor(store: ObjectStore, condemned: ListedCondemned, segments: LocalSegments | BucketSegments) {
    this.#condemned = condemned;
    this.#segments = segments;
    this.#keys = new KeyLines(segments);
    this.#plan = new PlanWriter(store, condemned.mark.id);
  }

  async save(): Promise<Buffer> {
    const plan = await this.#plan.save();
    await this.#keys.flush();
    const segments = this.#segments instanceof BucketSegments ? this.#segments.names : [];
    const saved: SavedSecondLook = {
      plan,
      segments,
      starts: this.#keys.starts,
      names: this.#names,
      left: this.#left,
    };
    return Buffer.from(JSON.stringify(saved));
  }

  restore(bytes: Buffer): void {
    const { plan, segments, starts, names, left } = JSON.parse(bytes.toString()) as SavedSecondLook;
    this.#plan.restore(plan);
    if (this.#segments instanceof BucketSegments) this.#segments.names.push(...segments);
    this.#keys = new KeyLines(this.#segments, starts);
    this.#names = names;
    Object.assign(this.#left, left);
  }

  async repository(seen: SeenRepository, add: (digest: Digest, id: number) => void): Promise<void> {
    const { id, listed, named } = seen;
    this.#names[id] = listed.name;
    if (named.damage.length > 0) return;
    const depths = new ManifestDepths(seen);
    const referrers = new UnindexedReferrers(seen);
    let last: Digest | undefined;
    let isEmptied = true;
    for (const link of linksOf(seen)) {
      if (link.isNeeded || link.isYoung) {
        isEmptied = false;
        continue;
      }
      const digest = listed.digests.get(link.digest);
      if (last === undefined || digest > last) last = digest;
      if (link.kind === 'layer') {
        add(digest, id * linkPhases.length + linkPhases.indexOf('blobs'));
        continue;
      }
      const about = aboutIn(link, referrers);
      const needsKey = link.kind !== 'revision' || about.length > 0;
      const key = needsKey ? this.#addKey(seen, link, depths, about) : undefined;
      if (key !== undefined) add(digest, firstKey + key);
      // Whatever there is no room for, links of manifests must not outlive their bytes.
      else if (link.kind === 'revision') add(digest, id * linkPhases.length + depths.of(link.digest));
    }
    // Of an emptied repository, nothing stays. This goes last, since blobs go in the order of digests.
    const scan = referrersScan(listed.name as RepositoryName);
    const key = isEmptied && last !== undefined ? this.#keys.add(lineOf(id, 'blobs', scan)) : undefined;
    if (last !== undefined && key !== undefined) add(last, firstKey + key);
    if (this.#keys.isFull) await this.#keys.flush();
  }

  blob({ digest, owners, size, isYoung }: SeenBlob): Promise<void> | undefined {
    return this.#see({ digest, owners, blob: { size, isYoung } });
  }

  missing(seen: Pick<SeenBlob, 'digest' | 'owners'>): Promise<void> | undefined {
    return this.#see(seen);
  }

  async finish(): Promise<void> {
    await this.#plan.finish(this.#left);
  }

  /** @returns its number; undefined if there are too many, which leaves it to the next collection */
  #addKey(
    { id, listed }: SeenRepository,
    link: RepositoryLink,
    depths: ManifestDepths,
    about: readonly Digest[],
  ): number | undefined {
    const phase = link.kind === 'tag' ? 'tags' : (linkPhases[depths.of(link.digest)] ?? 'manifests');
    return this.#keys.add(lineOf(id, phase, keyOf(listed, link), about));
  }

  #see(seen: Seen): Promise<void> | undefined {
    const found = this.#condemned.find(seen.digest);
    if (found === undefined) return undefined;
    return this.#planDeletions(seen, found);
  }

  async #planDeletions(seen: Seen, found: ReturnType<ListedCondemned['find']>): Promise<void> {
    const condemned = await found;
    if (condemned === undefined) return;
    await this.#keys.flush();
    const { digest, owners, blob } = seen;
    const bytes =
      condemned === '*' && blob !== undefined && this.#mayGo(owners, blob.isYoung) ? blob.size : undefined;
    const isCondemned = (id: number) => condemned === '*' || condemned.includes(this.#names[id] ?? '');
    const planned = new Map<string, { phase: DeletionPhase; about: readonly Digest[]; keys: string[] }>();
    const plan = (phase: DeletionPhase, key: string, about: readonly Digest[] = []) => {
      const at = `${phase} ${about.join()}`;
      const group = planned.get(at) ?? { phase, about, keys: [] };
      group.keys.push(key);
      planned.set(at, group);
    };
    for (const { id, flags } of owners) {
      if ((flags & owns.other) === 0) continue;
      if (id >= firstKey) {
        const { repository, phase, key, about } = parseLine(await this.#keys.read(id - firstKey));
        if (isCondemned(repository)) plan(phase, key, about);
        continue;
      }
      const repository = Math.floor(id / linkPhases.length);
      const phase = linkPhases[id % linkPhases.length] ?? 'blobs';
      const name = (this.#names[repository] ?? '') as RepositoryName;
      const link = phase === 'blobs' ? layerLink : revisionLink;
      if (isCondemned(repository)) plan(phase, link(name, digest));
    }
    if (bytes !== undefined && !planned.has('blobs '))
      planned.set('blobs ', { phase: 'blobs', about: [], keys: [] });
    for (const { phase, about, keys } of planned.values()) {
      // The bytes go with the last links.
      for (let at = 0; at === 0 || at < keys.length; at += maxKeys) {
        const isLast = at + maxKeys >= keys.length;
        const goes = phase === 'blobs' && isLast ? bytes : undefined;
        await this.#plan.add(phase, { digest, about, keys: keys.slice(at, at + maxKeys), bytes: goes });
      }
    }
  }

  /** Whether bytes that were condemned still may go; counts why not. */
  #mayGo(owners: SeenBlob['owners'], isYoung: boolean): boolean {
    const all = owners.reduce(
      (flags, owner) => flags | ((owner.flags & owns.other) === 0 ? owner.flags : 0),
      0,
    );
    if ((all & owns.need) !== 0) this.#left.needed += 1;
    else if ((all & owns.hold) !== 0) this.#left.held += 1;
    else if ((all & owns.youngLink) !== 0 || isYoung) this.#left.renewed += 1;
    else return true;
    return false;
  }
}

/** The digests whose rescue keeps a link. */
function aboutIn({ kind, tag = '', digest }: RepositoryLink, referrers: UnindexedReferrers) {
  if (kind !== 'tag') return referrers.subjectsOf(digest);
  const subject = attachedTo(tag);
  return subject === undefined ? [] : [subject];
}

/** What {@link KeyLines} has of a key. */
function lineOf(repository: number, phase: DeletionPhase, key: string, about?: readonly Digest[]): string {
  return [repository, phase, formatAbout(about), key].join(' ');
}

function parseLine(line: string) {
  const [repository, phase, about, key = ''] = line.split(' ');
  return {
    repository: Number(repository),
    phase: phase as DeletionPhase,
    about: parseAbout(about),
    key,
  };
}
