import type { Digest } from '../../protocol/digests.ts';
import {
  listsOf,
  maxMarkSize,
  parseCondemnedLine,
  parseMark,
  type Condemned,
  type Mark,
} from '../../registry/collection/mark.ts';
import { readMarkList } from '../../registry/collection/read-list.ts';
import { markKey } from '../../registry/layout.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import type { ObjectStore } from '../../storage/store.ts';

/**
 * Reads what a mark lists, in the order of digests. What is in a list that is missing or damaged does not count: for a collector, that
 * is the safe side.
 */
export class ListedCondemned {
  readonly mark: Mark;
  readonly #store: ObjectStore;
  #list: string | undefined;
  #condemned = new Map<Digest, Condemned['in']>();

  constructor(store: ObjectStore, mark: Mark) {
    this.#store = store;
    this.mark = mark;
  }

  /** @returns undefined if the mark is gone; an error if it is of another release or damaged */
  static async open(store: ObjectStore, id: string): Promise<ListedCondemned | Error | undefined> {
    const read = await undefinedIfMissing(store.read(markKey(id), maxMarkSize));
    if (read === undefined) return undefined;
    const mark = parseMark(id, read.bytes);
    return mark === undefined
      ? new Error(
          `the mark ${markKey(id)} is damaged, or was written by another release, so nothing is deleted: run stowage gc of that release; if ` +
            'there is none, end all runs of stowage gc, wait for REGISTRY_GC_FENCE and REGISTRY_GC_MARGIN (12 minutes), and delete this object',
        )
      : new ListedCondemned(store, mark);
  }

  /** Where a digest is condemned; undefined if it is not. Asks the store once for each list, if digests come in order. */
  find(digest: Digest): Condemned['in'] | undefined | Promise<Condemned['in'] | undefined> {
    if (this.#list !== undefined && digest.startsWith(this.#list)) return this.#condemned.get(digest);
    const lists = listsOf(this.mark, digest);
    return lists.length === 0 ? undefined : this.#read(lists, digest);
  }

  async #read(lists: readonly string[], digest: Digest): Promise<Condemned['in'] | undefined> {
    this.#condemned = new Map();
    this.#list = lists[0];
    for (const list of lists) await this.#readList(list);
    return this.#condemned.get(digest);
  }

  async #readList(list: string): Promise<void> {
    const bytes = await readMarkList(this.#store, this.mark.id, list, this.mark.lists.get(list) ?? '');
    for (const line of bytes?.toString('latin1').split('\n') ?? []) {
      const condemned = parseCondemnedLine(line);
      if (condemned === undefined) continue;
      const { digest, in: repositories } = condemned;
      const before = this.#condemned.get(digest) ?? [];
      const isWhole = before === '*' || repositories === '*';
      this.#condemned.set(digest, isWhole ? '*' : [...before, ...repositories]);
    }
  }
}
