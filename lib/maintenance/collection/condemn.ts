import { createHash } from 'node:crypto';
import { digestParts, type Digest } from '../../protocol/digests.ts';
import { condemnedLine, listOf, maxListSize, serializeMark } from '../../registry/collection/mark.ts';
import { blobsPrefix, markKey, markList, parseBlobData } from '../../registry/layout.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { ResumableVisitor } from './look-steps.ts';
import { isOnlyLinks, newMark } from './marks.ts';
import { owns, type SeenBlob, type SeenRepository } from './look.ts';
import { removeLast } from './emptied.ts';
import { linksOf } from './repository-links.ts';

/** Bytes that lists shall have: hashes are spread evenly, but not those of somebody who wants to fill a list. */
const usualListSize = maxListSize / 4;

/** Bytes of a list up to which blobs are condemned. The rest is for manifests, without which what they need must not go. */
const maxSizeForBlobs = (maxListSize / 4) * 3;

/** Bytes of a line without names of repositories, and some more. */
const lineSize = 80;

const maxDigits = 3;

/** Set in the number of an owner that a look is given if the repository has a manifest of this digest. */
const isManifest = 1;

/** What was condemned. */
export interface CondemnedMark {
  readonly id: string;
  /** Digests with a line. */
  readonly digests: number;
  /** Digests for which a list had no room, which the next collection condemns. */
  readonly left: number;
}

/**
 * Condemns what a first look finds that nothing needs: writes the lists of a mark while it looks, and then the mark. In memory are the
 * names of repositories and one list.
 */
export class Condemnation implements ResumableVisitor {
  readonly #store: ObjectStore;
  #id: string;
  #began: Date;
  /** By number of the repository. */
  #names: string[] = [];
  /** Bytes of names in lines, if each repository had a line for each of its links. */
  #namesSize = 0;
  #digits: number | undefined;
  #lists = new Map<string, string>();
  #list = '';
  #lines: string[] = [];
  #size = 0;
  #condemned = 0;
  #left = 0;

  /**
   * @param began when the look began, by the clock that dates objects
   * @param onlyLinks whether bytes stay
   */
  constructor(store: ObjectStore, began: Date, onlyLinks = false) {
    this.#store = store;
    this.#began = began;
    this.#id = newMark(began, onlyLinks);
  }

  /** When the look began, by the clock that dates objects. */
  get began(): Date {
    return this.#began;
  }

  save(): Buffer {
    const saved: SavedCondemnation = {
      id: this.#id,
      began: this.#began.getTime(),
      names: this.#names,
      namesSize: this.#namesSize,
      digits: this.#digits,
      lists: [...this.#lists],
      list: this.#list,
      lines: this.#lines,
      size: this.#size,
      condemned: this.#condemned,
      left: this.#left,
    };
    return Buffer.from(JSON.stringify(saved));
  }

  restore(bytes: Buffer): void {
    const saved = JSON.parse(bytes.toString()) as SavedCondemnation;
    this.#id = saved.id;
    this.#began = new Date(saved.began);
    this.#names = saved.names;
    this.#namesSize = saved.namesSize;
    this.#digits = saved.digits;
    this.#lists = new Map(saved.lists);
    this.#list = saved.list;
    this.#lines = saved.lines;
    this.#size = saved.size;
    this.#condemned = saved.condemned;
    this.#left = saved.left;
  }

  repository(seen: SeenRepository, add: (digest: Digest, id: number) => void): Promise<void> | undefined {
    const { id, listed, named } = seen;
    this.#names[id] = listed.name;
    if (named.damage.length > 0) return undefined;
    // A query that scanned while the repository was emptied has left it. If a push comes meanwhile, it is made again.
    if (listed.isEmpty && listed.scan?.isYoung === false) return removeLast(this.#store, listed.scan.key);
    const condemned = new Map<number, number>();
    for (const { kind, digest, isNeeded, isYoung } of linksOf(seen))
      if (!isNeeded && !isYoung)
        condemned.set(digest, (condemned.get(digest) ?? 0) | (kind === 'revision' ? isManifest : 0));
    for (const [number, flag] of condemned) {
      add(listed.digests.get(number), id * 2 + flag);
      this.#namesSize += listed.name.length + 1;
    }
    return undefined;
  }

  blob({ digest, isYoung, owners }: SeenBlob): Promise<void> | undefined {
    const stays = owns.need | owns.hold | owns.youngLink;
    const isWhole = !isOnlyLinks(this.#id) && !isYoung && !owners.some(({ flags }) => (flags & stays) !== 0);
    return this.#condemn(digest, isWhole, owners);
  }

  missing({ digest, owners }: Pick<SeenBlob, 'digest' | 'owners'>): Promise<void> | undefined {
    return this.#condemn(digest, false, owners);
  }

  /** Writes the mark. @returns undefined if nothing is condemned */
  async finish(): Promise<CondemnedMark | undefined> {
    await this.#flush();
    if (this.#lists.size === 0) return undefined;
    const mark = { id: this.#id, began: this.#began, digits: this.#digits ?? 0, lists: this.#lists };
    await this.#store.put(markKey(this.#id), serializeMark(mark));
    return { id: this.#id, digests: this.#condemned, left: this.#left };
  }

  #condemn(digest: Digest, isWhole: boolean, owners: SeenBlob['owners']): Promise<void> | undefined {
    const garbage = owners.filter(({ flags }) => (flags & owns.other) !== 0);
    if (!isWhole && garbage.length === 0) return undefined;
    const names = garbage.map(({ id }) => this.#names[Math.floor(id / 2)] ?? '');
    const line = condemnedLine({ digest, in: isWhole ? '*' : [...new Set(names)] });
    return this.#write(
      digest,
      line,
      garbage.some(({ id }) => id % 2 === isManifest),
    );
  }

  async #write(digest: Digest, line: string, hasManifest: boolean): Promise<void> {
    this.#digits ??= await this.#chooseDigits();
    const list = listOf({ digits: this.#digits }, digest);
    if (list !== this.#list) {
      await this.#flush();
      await this.#open(list);
    }
    if (this.#size + line.length > (hasManifest ? maxListSize : maxSizeForBlobs)) {
      if (hasManifest)
        throw new Error(
          `too much is to be deleted whose digests begin with ${list}: more than a list can hold`,
        );
      this.#left += 1;
      return;
    }
    this.#lines.push(line);
    this.#size += line.length;
    this.#condemned += 1;
  }

  /** A list that was written already has the digests of another algorithm. */
  async #open(list: string): Promise<void> {
    this.#list = list;
    if (!this.#lists.has(list)) return;
    const { bytes } = await this.#store.read(markList(this.#id, list), maxListSize);
    this.#lines = [bytes.toString('latin1')];
    this.#size = bytes.byteLength;
  }

  async #flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const bytes = Buffer.from(this.#lines.join(''), 'latin1');
    await this.#store.put(markList(this.#id, this.#list), bytes);
    this.#lists.set(this.#list, createHash('sha256').update(bytes).digest('hex'));
    this.#lines = [];
    this.#size = 0;
  }

  async #chooseDigits(): Promise<number> {
    const size = (await estimateBlobs(this.#store)) * lineSize + this.#namesSize;
    const digits = Math.ceil(Math.log(size / usualListSize) / Math.log(16));
    return Math.min(Math.max(digits, 0), maxDigits);
  }
}

interface SavedCondemnation {
  readonly id: string;
  readonly began: number;
  readonly names: string[];
  readonly namesSize: number;
  readonly digits: number | undefined;
  readonly lists: readonly (readonly [string, string])[];
  readonly list: string;
  readonly lines: string[];
  readonly size: number;
  readonly condemned: number;
  readonly left: number;
}

/** How many blobs there are, by one request: how much of all hashes the first thousand of them take tells the rest. */
async function estimateBlobs(store: ObjectStore): Promise<number> {
  const { objects, next } = await store.list({ prefix: blobsPrefix });
  const digests = objects.flatMap(({ key }) => parseBlobData(key) ?? []);
  const last = digests.at(-1);
  if (next === undefined || last === undefined) return digests.length;
  const digits = 12;
  return digests.length / ((parseInt(digestParts(last).hex.slice(0, digits), 16) + 1) / 16 ** digits);
}
