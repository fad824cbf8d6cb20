import { ConcurrencyLimit } from '../../concurrency/concurrency-limit.ts';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { ExpiringCache } from '../expiring-cache.ts';
import { markKey, markList } from '../layout.ts';
import { undefinedIfDamaged } from '../links.ts';
import {
  listsOf,
  maxListSize,
  maxMarkSize,
  parseCondemnedLine,
  parseMark,
  type Condemned,
  type Mark,
} from './mark.ts';
import { readMarkList } from './read-list.ts';

/** Bytes of the lists in memory: eight of the largest. */
const maxMemory = 8 * maxListSize;

/** Concurrent reads of lists, which may be large. */
const parallelReads = 2;

/** Marks in memory. There is one, or two after a collection that was interrupted. */
const maxMarks = 8;

/**
 * What marks list. Both marks and lists are immutable, so each is read once. Of a mark or list that is missing or damaged, every
 * digest counts as listed.
 */
export class CondemnedLists {
  readonly #store: ObjectStore;
  readonly #marks = new ExpiringCache<string, { readonly mark: Mark | undefined }>({
    ttlMs: Infinity,
    maxSize: maxMarks,
  });
  /** Sorted lines; a search needs no more than the bytes. */
  readonly #lists = new ExpiringCache<string, { readonly lines: Buffer | undefined }>({
    ttlMs: Infinity,
    maxSize: maxMemory,
    sizeOf: ({ lines }) => lines?.byteLength ?? 1,
  });
  readonly #markReads = new SingleFlight<string, Mark | undefined>();
  readonly #listReads = new SingleFlight<string, Buffer | undefined>();
  readonly #reads = new ConcurrencyLimit(parallelReads);

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Where a mark condemns a digest; undefined if it does not list it. */
  async find(id: string, digest: Digest): Promise<Condemned['in'] | undefined> {
    const mark = await this.#mark(id);
    if (mark === undefined) return '*';
    const repositories: string[] = [];
    for (const list of listsOf(mark, digest)) {
      const lines = await this.#list(id, list, mark.lists.get(list) ?? '');
      const found = lines === undefined ? '*' : (findLine(lines, digest) ?? []);
      if (found === '*') return found;
      for (const name of found) repositories.push(name);
    }
    return repositories.length === 0 ? undefined : repositories;
  }

  /** When a mark began, by the clock that dates objects; undefined if it is missing or damaged. */
  async began(id: string): Promise<Date | undefined> {
    return (await this.#mark(id))?.began;
  }

  /** @returns undefined if it is missing or damaged */
  async #mark(id: string): Promise<Mark | undefined> {
    const known = this.#marks.get(id);
    if (known !== undefined) return known.mark;
    return await this.#markReads.run(id, async () => {
      const key = markKey(id);
      const read = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxMarkSize));
      const mark = read && parseMark(id, read.bytes);
      this.#marks.set(id, { mark });
      return mark;
    });
  }

  /** @returns undefined if it is missing or damaged */
  async #list(id: string, list: string, hash: string): Promise<Buffer | undefined> {
    const key = markList(id, list);
    const known = this.#lists.get(key);
    if (known !== undefined) return known.lines;
    return await this.#listReads.run(key, async () => {
      const lines = await this.#reads.run(async () => await readMarkList(this.#store, id, list, hash));
      this.#lists.set(key, { lines });
      return lines;
    });
  }
}

const newline = 0x0a;

/** Searches sorted lines by bisection. A line that is found and cannot be read counts for everything. */
function findLine(lines: Buffer, digest: Digest): Condemned['in'] | undefined {
  const start = Buffer.from(`${digest} `);
  let [low, high] = [0, lines.byteLength];
  while (low < high) {
    const middle = (low + high) >>> 1;
    // The line that the middle is in.
    const from = middle === 0 ? 0 : lines.lastIndexOf(newline, middle - 1) + 1;
    const end = lines.indexOf(newline, middle);
    const to = end < 0 ? lines.byteLength : end;
    const order = Buffer.compare(lines.subarray(from, Math.min(to, from + start.byteLength)), start);
    if (order === 0) return parseCondemnedLine(lines.toString('latin1', from, to))?.in ?? '*';
    if (order < 0) low = to + 1;
    else high = from;
  }
  return undefined;
}
