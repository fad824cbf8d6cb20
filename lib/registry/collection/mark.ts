import { digestOrUndefined, digestParts, type Digest } from '../../protocol/digests.ts';
import { fieldsOf } from '../json-fields.ts';

/*
 * The format of marks and their lists (docs/garbage-collection.md, "In the bucket").
 */

/** The largest list in bytes. */
export const maxListSize = 2 * 1024 * 1024;

/** The largest mark in bytes: some 10,000 lists. */
export const maxMarkSize = 1024 * 1024;

/** Milliseconds: some stores date with seconds. */
export const clockUnitMs = 1000;

/**
 * What was written after this time is newer than a mark: also what came in the second in which the mark began.
 * @param began when the mark began; both are in milliseconds by the clock that dates objects
 */
export function newerThanMark(began: number): number {
  return began - clockUnitMs;
}

/** What a collection is going to delete. */
export interface Mark {
  readonly id: string;
  /** By the clock that dates objects. */
  readonly began: Date;
  /**
   * The SHA-256 of each list, in hexadecimal digits, by what all its digests begin with: `sha256:` and as many digits as it takes to
   * keep it short. No list begins as another does, but for those of one digest that is condemned in very many repositories: its whole
   * digest, then that with `+1` and so on.
   */
  readonly lists: ReadonlyMap<string, string>;
}

/** Everything about a digest that is condemned. */
export interface Condemned {
  readonly digest: Digest;
  /** The repositories whose links are condemned; `*` for all of them and the bytes. */
  readonly in: '*' | readonly string[];
}

export function serializeMark({ began, lists }: Mark): Buffer {
  return Buffer.from(
    `${JSON.stringify({ version: 1, began: began.toISOString(), lists: Object.fromEntries(lists) })}\n`,
  );
}

/** @returns undefined for what is no mark of a version that this release knows: everything must then count as condemned */
export function parseMark(id: string, bytes: Buffer): Mark | undefined {
  const fields = fieldsOf(bytes) ?? {};
  const { version, lists } = fields;
  const began = new Date(String(fields['began']));
  const isMark =
    version === 1 && !Number.isNaN(began.getTime()) && typeof lists === 'object' && lists !== null;
  return isMark ? { id, began, lists: new Map(Object.entries(lists as Record<string, string>)) } : undefined;
}

/** The list in which a mark would have a digest, and those that go on with it. */
export function listsOf({ lists }: Pick<Mark, 'lists'>, digest: Digest): readonly string[] {
  for (let length = firstList(digest).length; length <= digest.length; length++) {
    const list = digest.slice(0, length);
    if (!lists.has(list)) continue;
    const found = [list];
    while (lists.has(continuation(list, found.length))) found.push(continuation(list, found.length));
    return found;
  }
  return [];
}

/** The list that goes on with that of one digest. @param number from 1 */
export function continuation(list: string, number: number): string {
  return `${list}+${number}`;
}

/** The list of all digests of an algorithm, as long as it is short: `sha256:`. */
export function firstList(digest: Digest): string {
  return `${digestParts(digest).algorithm}:`;
}

/** A line of a list. Lists are sorted by their lines. */
export function condemnedLine({ digest, in: repositories }: Condemned): string {
  return `${digest} ${repositories === '*' ? repositories : repositories.join(' ')}\n`;
}

/** @returns undefined for what is no such line */
export function parseCondemnedLine(line: string): Condemned | undefined {
  const [text = '', ...repositories] = line.split(' ');
  const digest = digestOrUndefined(text);
  if (digest === undefined || repositories.length === 0) return undefined;
  return { digest, in: repositories[0] === '*' ? '*' : repositories };
}
