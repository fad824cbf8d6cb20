import { digestParts, type Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { isDamage, readLink } from '../../registry/links.ts';
import { ObjectUnreadable, type ObjectStore } from '../../storage/store.ts';
import { damagedLink, type Finding } from './findings.ts';

/** What a link leads to: a digest, nothing if it is gone, or damage. */
export async function target(store: ObjectStore, key: string): Promise<Digest | 'gone' | 'damaged'> {
  const link = await orDamage(async () => await readLink(store, key));
  return link === damage ? 'damaged' : (link?.digest ?? 'gone');
}

/**
 * The finding about a link whose key says what it holds. Distribution also links a blob by its digest of another algorithm, where
 * the link holds the one that the bytes are stored by.
 */
export async function linkFinding(
  store: ObjectStore,
  name: RepositoryName,
  key: string,
  digest: Digest,
): Promise<Finding | undefined> {
  const found = await target(store, key);
  if (found === 'gone' || found === digest) return undefined;
  const isAlias = found !== 'damaged' && digestParts(found).algorithm !== digestParts(digest).algorithm;
  return isAlias ? undefined : damagedLink(name, key, digest);
}

/** In place of what cannot be read, because it was altered. */
export const damage = Symbol('damage');

/** The result of a read, or {@link damage}. */
export async function orDamage<T>(read: () => Promise<T>): Promise<T | typeof damage> {
  try {
    return await read();
  } catch (error) {
    if (!isDamage(error) || error instanceof ObjectUnreadable) throw error;
    return damage;
  }
}
