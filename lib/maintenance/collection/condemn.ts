import { createHash } from 'node:crypto';
import type { Digest } from '../../protocol/digests.ts';
import {
  condemnedLine,
  continuation,
  firstList,
  maxListSize,
  maxMarkSize,
  serializeMark,
} from '../../registry/collection/mark.ts';
import { markKey, markList } from '../../registry/layout.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { ResumableVisitor } from './look-steps.ts';
import { isOnlyLinks, newMark } from './marks.ts';
import { owns, type SeenBlob, type SeenRepository } from './look.ts';
import { removeLast } from './emptied.ts';
import { linksOf } from './repository-links.ts';

/** Bytes of a line without names of repositories, and some more. */
const lineSize = 160;

/** What was condemned. */
export interface CondemnedMark {
  readonly id: string;
  /** Digests with a line. */
  readonly digests: number;
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
  /** The hash of each list that was written, by what its digests begin with. */
  #lists = new Map<string, string>();
  /** What the digests of the lines begin with that are to be written next. */
  #list: string | undefined;
  #lines: string[] = [];
  #size = 0;
  #condemned = 0;

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
      lists: [...this.#lists],
      list: this.#list,
      lines: this.#lines,
      size: this.#size,
      condemned: this.#condemned,
    };
    return Buffer.from(JSON.stringify(saved));
  }

  restore(bytes: Buffer): void {
    const saved = JSON.parse(bytes.toString()) as SavedCondemnation;
    this.#id = saved.id;
    this.#began = new Date(saved.began);
    this.#names = saved.names;
    this.#lists = new Map(saved.lists);
    this.#list = saved.list;
    this.#lines = saved.lines;
    this.#size = saved.size;
    this.#condemned = saved.condemned;
  }

  repository(seen: SeenRepository, add: (digest: Digest, id: number) => void): Promise<void> | undefined {
    const { id, listed, named } = seen;
    this.#names[id] = listed.name;
    if (named.damage.length > 0) return undefined;
    // A query that scanned while the repository was emptied has left it. If a push comes meanwhile, it is made again.
    if (listed.isEmpty && listed.scan?.isYoung === false) return removeLast(this.#store, listed.scan.key);
    const condemned = new Set<number>();
    for (const { digest, isNeeded, isYoung } of linksOf(seen))
      if (!isNeeded && !isYoung) condemned.add(digest);
    for (const number of condemned) add(listed.digests.get(number), id);
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
    const bytes = serializeMark({ id: this.#id, began: this.#began, lists: this.#lists });
    if (bytes.byteLength > maxMarkSize)
      throw new Error(
        `too much is to be deleted for one mark: ${this.#condemned} digests in ${this.#lists.size} lists`,
      );
    await this.#store.put(markKey(this.#id), bytes);
    return { id: this.#id, digests: this.#condemned };
  }

  #condemn(digest: Digest, isWhole: boolean, owners: SeenBlob['owners']): Promise<void> | undefined {
    if (isWhole) return this.#write(digest, condemnedLine({ digest, in: '*' }));
    const garbage = owners.filter(({ flags }) => (flags & owns.other) !== 0);
    if (garbage.length === 0) return undefined;
    const names = [...new Set(garbage.map(({ id }) => this.#names[id] ?? ''))];
    const [first = [], ...others] = partsOf(names);
    const line = condemnedLine({ digest, in: first });
    return others.length === 0 ? this.#write(digest, line) : this.#writeAlone(digest, line, others);
  }

  /** Writes a digest for which one list is too short, in lists of its own. */
  async #writeAlone(digest: Digest, line: string, others: readonly (readonly string[])[]): Promise<void> {
    await this.#write(digest, line);
    while (this.#list !== digest) await this.#divide(digest);
    await this.#flush();
    for (const [i, names] of others.entries()) {
      this.#begin(continuation(digest, i + 1), [condemnedLine({ digest, in: names })]);
      await this.#flush();
    }
    this.#list = digest;
  }

  async #write(digest: Digest, line: string): Promise<void> {
    if (this.#list === undefined || !digest.startsWith(this.#list)) {
      await this.#flush();
      this.#list = listAfter(this.#list, digest);
    }
    while (this.#lines.length > 0 && this.#size + line.length > maxListSize) await this.#divide(digest);
    this.#lines.push(line);
    this.#size += line.length;
    this.#condemned += 1;
  }

  /** Divides the list by one more digit, writes those before that of the next digest, and goes on with that. */
  async #divide(next: Digest): Promise<void> {
    const lines = this.#lines;
    const length = (this.#list ?? '').length + 1;
    for (const [list, ofList] of Map.groupBy(lines, (line) => line.slice(0, length))) {
      this.#begin(list, ofList);
      if (!next.startsWith(list)) await this.#flush();
    }
    this.#begin(next.slice(0, length), this.#lines);
  }

  #begin(list: string, lines: string[]): void {
    this.#list = list;
    this.#lines = lines;
    this.#size = lines.reduce((size, line) => size + line.length, 0);
  }

  async #flush(): Promise<void> {
    if (this.#list === undefined || this.#lines.length === 0) return;
    const bytes = Buffer.from(this.#lines.join(''), 'latin1');
    await this.#store.put(markList(this.#id, this.#list), bytes);
    this.#lists.set(this.#list, createHash('sha256').update(bytes).digest('hex'));
    this.#lines = [];
    this.#size = 0;
  }
}

/** The list that a digest begins, after another one: lists with less digits have been divided as far as they have these in common. */
function listAfter(list: string | undefined, digest: Digest): string {
  const first = firstList(digest);
  if (list?.startsWith(first) !== true) return first;
  let common = first.length;
  while (list[common] === digest[common]) common++;
  return digest.slice(0, common + 1);
}

/** Names in parts for each of which a line has room. */
function partsOf(names: readonly string[]): readonly (readonly string[])[] {
  const parts: string[][] = [];
  let size = Infinity;
  for (const name of names) {
    size += name.length + 1;
    if (size > maxListSize) {
      parts.push([]);
      size = lineSize + name.length + 1;
    }
    parts.at(-1)?.push(name);
  }
  return parts;
}

interface SavedCondemnation {
  readonly id: string;
  readonly began: number;
  readonly names: string[];
  readonly lists: readonly (readonly [string, string])[];
  readonly list: string | undefined;
  readonly lines: string[];
  readonly size: number;
  readonly condemned: number;
}
