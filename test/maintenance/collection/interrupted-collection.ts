import { createHash } from 'node:crypto';
import { digestParts, type Digest } from '../../../lib/protocol/digests.ts';
import { readNeeds } from '../../../lib/protocol/manifest-needs.ts';
import { parseRepositoryKey } from '../../../lib/registry/repository-keys.ts';
import { blobData } from '../../../lib/registry/layout.ts';
import { undefinedIfMissing } from '../../../lib/registry/links.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { keysIn } from './collecting.ts';
import { about, FilledBucket } from './filled-bucket.ts';

function isOf(bytes: Buffer, digest: Digest): boolean {
  const { algorithm, hex } = digestParts(digest);
  return createHash(algorithm).update(bytes).digest('hex') === hex;
}

/** A repository of which all goes, and one of which an index with its images goes, and one image stays. */
export async function fillSome(store: ObjectStore): Promise<void> {
  const bucket = new FilledBucket(store);
  const base = await bucket.layer('app', 'base');
  const kept = await bucket.image('app', 'kept', [base]);
  const one = await bucket.image('app', 'one', [base, await bucket.layer('app', 'one-layer')]);
  const two = await bucket.image('app', 'two', [await bucket.layer('app', 'two-layer')]);
  const index = await bucket.index('app', 'index', [one, two]);
  const nested = await bucket.index('app', 'nested', [index]);
  const signature = await bucket.image('app', 'signature', [], about(nested));
  await bucket.referrer('app', nested, signature);
  await bucket.tag('app', 'v1', kept, nested);
  await bucket.tag('app', `sha256-${nested.hex}.sig`, await bucket.image('app', 'cosign', []));
  await bucket.layer('old', 'old-layer');
  await bucket.put('repositories/old/_referrers/scanned', '{}');
  await bucket.bytes(bucket.some('unlinked'));
}

/** The process that called has ended. */
export class Killed extends Error {}

/** A store of a process that is killed before one of its calls. */
export function killedAt(
  store: ObjectStore,
  at: number,
): { readonly store: ObjectStore; readonly calls: () => number } {
  let calls = 0;
  const wrap = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (_, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (property === 'fencing') return wrap(value as object);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (calls++ >= at) throw new Killed();
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        };
      },
    });
  return { store: wrap(store), calls: () => calls };
}

/** What manifests lack that have a link: their bytes, or the bytes or link of what they need. */
export async function lacking(store: ObjectStore): Promise<string[]> {
  const keys = await keysIn(store);
  const links = new Set<string>();
  const revisions: { name: string; digest: Digest }[] = [];
  for (const key of keys) {
    const parsed = parseRepositoryKey(key);
    if (parsed?.kind !== 'layer' && parsed?.kind !== 'revision') continue;
    links.add(`${parsed.name} ${parsed.digest}`);
    if (parsed.kind === 'revision') revisions.push(parsed);
  }
  const objects = new Set(keys);
  const found: string[] = [];
  for (const { name, digest } of revisions) {
    const read = await undefinedIfMissing(store.read(blobData(digest), 1024 * 1024));
    if (read === undefined) {
      found.push(`${name} ${digest} lacks its bytes`);
      continue;
    }
    if (!isOf(read.bytes, digest)) {
      found.push(`${name} ${digest} is damaged`);
      continue;
    }
    const { blobs, children } = readNeeds(read.bytes);
    for (const { digest: needed } of [...blobs, ...children]) {
      const key = blobData(needed);
      if (!objects.has(key)) found.push(`${name} ${digest} lacks the bytes of ${needed}`);
      if (!links.has(`${name} ${needed}`)) found.push(`${name} ${digest} lacks the link of ${needed}`);
    }
  }
  return found.sort();
}
