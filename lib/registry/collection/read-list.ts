import { createHash } from 'node:crypto';
import type { ObjectStore } from '../../storage/store.ts';
import { markList } from '../layout.ts';
import { undefinedIfDamaged } from '../links.ts';
import { maxListSize } from './mark.ts';

/**
 * Reads a list of a mark.
 * @param list what its digests begin with
 * @param hash its SHA-256 in hexadecimal digits, as the mark has it
 * @returns undefined if it is missing or damaged: for a writer everything in it is condemned then, and for a collector nothing
 */
export async function readMarkList(
  store: ObjectStore,
  mark: string,
  list: string,
  hash: string,
): Promise<Buffer | undefined> {
  const key = markList(mark, list);
  const read = await undefinedIfDamaged(store, key, store.read(key, maxListSize));
  const isWhole = read !== undefined && createHash('sha256').update(read.bytes).digest('hex') === hash;
  return isWhole ? read.bytes : undefined;
}
