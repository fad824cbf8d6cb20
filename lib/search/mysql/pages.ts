import { isRepositoryName } from '../../protocol/names.ts';
import { compareKeys } from '../../storage/store.ts';
import type { Execute, Values } from './connections.ts';
import { intersect, rangesAfter, rangesOfLate, type KeyOrder, type KeyRange } from './order.ts';
import { notWhole, pageStatement, scanStatement } from './statements.ts';

/** Most rows of a statement that finds rows which are no names, unless a page has more. */
const most = 1000;

/** How the key of a table is sorted. */
export interface KeyCollation {
  readonly collation: string;
  /** Which `orderOf` says that it has. */
  readonly order: KeyOrder;
}

/** A table was not as a page of it was begun: its collation is another one, or it is not whole any more. */
export class TableChanged extends Error {
  override readonly name = 'TableChanged';

  constructor() {
    super('the table repositories is being changed all the time; ask again');
  }
}

/** Reads names of a table in byte order, whatever the order of its key. */
export class MysqlPages {
  readonly #execute: Execute;
  readonly #collation: string;
  readonly #order: KeyOrder;

  constructor(execute: Execute, { collation, order }: KeyCollation) {
    this.#execute = execute;
    this.#collation = collation;
    this.#order = order;
  }

  /** @throws TableChanged where a table has another collation than that which pages are read in */
  assertOf({ collation }: Pick<KeyCollation, 'collation'>): void {
    if (collation !== this.#collation) throw new TableChanged();
  }

  /** @returns the first names after one, as many as that at most @throws TableChanged */
  async after(last: string, count: number): Promise<string[]> {
    const names =
      this.#order === 'other'
        ? await this.#scanned(count, last)
        : await this.#first(count, rangesAfter(last, this.#order), '');
    return names.slice(0, count);
  }

  /**
   * The first names in byte order, and perhaps more: the first in the order of the key, and those that come later in it and
   * belong before them. There are seldom any, but whether there are must be asked.
   * @param above where to begin in the key
   */
  async #first(count: number, ranges: readonly KeyRange[], above: string): Promise<string[]> {
    const { names, end } = await this.#filled(
      count,
      above,
      async (from, limit) =>
        await this.#rows(pageStatement(padded(ranges.length)), [from, ...bounds(ranges), String(limit)]),
    );
    const late = end === undefined || this.#order === 'bytes' ? [] : intersect(ranges, rangesOfLate(names));
    if (late.length > 0 && end !== undefined) names.push(...(await this.#first(count, late, end)));
    return names.sort(compareKeys);
  }

  async #scanned(count: number, above: string): Promise<string[]> {
    const { names } = await this.#filled(
      count,
      above,
      async (from, limit) => await this.#rows(scanStatement, [from, String(limit)]),
    );
    return names;
  }

  /**
   * Reads until there are enough names, as rows may be none.
   * @returns where it ended, unless there is nothing more
   */
  async #filled(
    count: number,
    above: string,
    read: (above: string, limit: number) => Promise<string[]>,
  ): Promise<{ names: string[]; end: string | undefined }> {
    const names: string[] = [];
    let end = above;
    for (let limit = count; names.length < count; limit = Math.max(count, Math.min(2 * limit, most))) {
      const found = await read(end, limit);
      names.push(...found.filter(isRepositoryName));
      if (found.length < limit) return { names, end: undefined };
      end = found.at(-1) ?? end;
    }
    return { names, end };
  }

  async #rows(sql: string, values: Values): Promise<string[]> {
    const rows = await this.#execute(sql, [notWhole, ...values]);
    for (const { collation, marked } of rows) {
      this.assertOf({ collation: String(collation) });
      if (Number(marked) !== 0) throw new TableChanged();
    }
    return rows.map(({ name }) => String(name));
  }
}

/** As the next power of 2, so that few statements are prepared. */
function padded(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}

/** @returns as many as the statement has, the last one repeated */
function bounds(ranges: readonly KeyRange[]): string[] {
  const last = ranges.at(-1) ?? { from: '', to: '' };
  const all = Array.from({ length: padded(ranges.length) }, (_, i) => ranges[i] ?? last);
  return all.flatMap(({ from, to }) => [from, to]);
}
