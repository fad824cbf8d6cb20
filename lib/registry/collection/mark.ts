import { digestOrUndefined, digestParts, type Digest } from '../../protocol/digests.ts';
import { fieldsOf } from '../json-fields.ts';

/*
 * The format of marks and their lists (docs/garbage-collection.md, "In the bucket").
 */

/** The largest list in bytes. A collection divides longer ones by the first digits of their digests. */
export const maxListSize = 8 * 1024 * 1024;

/** The largest mark in bytes: 4096 lists. */
export const maxMarkSize = 1024 * 1024;

/** Milliseconds: some stores date with seconds. What was pushed in the second in which a mark began counts as newer. */
export const clockUnitMs = 1000;

/** What a collection is going to delete. */
export interface Mark {
  readonly id: string;
  /** By the clock that dates objects. */
  readonly began: Date;
  /** Hexadecimal digits of a digest by which it is divided into lists: 0 to 3. */
  readonly digits: number;
  /** The SHA-256 of each list that is not empty, in hexadecimal digits, by the first digits of its digests. */
  readonly lists: ReadonlyMap<string, string>;
}

/** Everything about a digest that is condemned. */
export interface Condemned {
  readonly digest: Digest;
  /** The repositories whose links are condemned; `*` for all of them and the bytes. */
  readonly in: '*' | readonly string[];
}

export function serializeMark({ began, digits, lists }: Mark): Buffer {
  return Buffer.from(
    `${JSON.stringify({ version: 1, began: began.toISOString(), digits, lists: Object.fromEntries(lists) })}\n`,
  );
}

/** @returns undefined for what is no mark of a version that this release knows: everything must then count as condemned */
export function parseMark(id: string, bytes: Buffer): Mark | undefined {
  const fields = fieldsOf(bytes) ?? {};
  const { version, digits, lists } = fields;
  const began = new Date(String(fields['began']));
  const isMark =
    version === 1 &&
    !Number.isNaN(began.getTime()) &&
    typeof digits === 'number' &&
    digits >= 0 &&
    digits <= 3 &&
    typeof lists === 'object' &&
    lists !== null;
  return isMark
    ? { id, began, digits, lists: new Map(Object.entries(lists as Record<string, string>)) }
    : undefined;
}

/** The digits by which a mark files a digest. */
export function listOf({ digits }: Pick<Mark, 'digits'>, digest: Digest): string {
  return digestParts(digest).hex.slice(0, digits);
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
