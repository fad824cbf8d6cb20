import { createHash } from 'node:crypto';
import { undefinedIfDamaged } from '../../registry/links.ts';
import type { ObjectStore } from '../../storage/store.ts';

/*
 * Text after its SHA-256 in hexadecimal and a line end, so that damage is seen.
 */

const hashDigits = 64;

/** Bytes of the largest object that is read. */
const maxObjectSize = 64 * 1024 * 1024;

export function withHash(text: string): Buffer {
  return Buffer.from(`${hashOf(text)}\n${text}`);
}

/** @returns undefined if it is gone or damaged */
export async function readWithHash(store: ObjectStore, key: string): Promise<string | undefined> {
  const read = await undefinedIfDamaged(store, key, store.read(key, maxObjectSize));
  const text = read?.bytes.toString();
  const content = text?.slice(hashDigits + 1);
  return content !== undefined && text?.slice(0, hashDigits) === hashOf(content) ? content : undefined;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
