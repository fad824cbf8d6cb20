import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { serializeDeletion } from '../../../lib/registry/collection/deletion-record.ts';
import {
  condemnedLine,
  firstList,
  serializeMark,
  type Condemned,
} from '../../../lib/registry/collection/mark.ts';
import {
  blobData,
  deletionKey,
  layerLink,
  markKey,
  markList,
  parseReferrerKey,
  repositoryPrefix,
  rescueKey,
  rescuesPrefix,
  retiredKey,
  revisionLink,
  subjectPrefix,
} from '../../../lib/registry/layout.ts';
import { exists, readLink } from '../../../lib/registry/links.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { parseRepositoryKey } from '../../../lib/registry/repository-keys.ts';
import { partsOf } from '../../../lib/registry/undo/content.ts';
import { FenceEnded, type Fencing, type ObjectStore } from '../../../lib/storage/store.ts';

/*
 * A collector (docs/garbage-collection.md, "Collectors") of few digests, to which time means nothing: everything is old, also untagged
 * manifests, and no link is newer than a mark. Each digest has a batch of its own.
 */

/** What is collected if no tag reaches it. */
export interface Collected {
  readonly names: readonly RepositoryName[];
  /** Manifests before what they need. */
  readonly digests: readonly Digest[];
}

export function fencingOf({ fencing }: ObjectStore): Fencing {
  if (fencing === undefined) throw new Error('the store has no fences');
  return fencing;
}

let marks = 0;

/** Later than anything that a test writes. */
const later = () => new Date(Date.now() + 3_600_000);

/** Writes a mark. @param began when; by default no link is newer  @returns its id */
export async function condemn(
  store: ObjectStore,
  condemned: readonly Condemned[],
  began = later(),
): Promise<string> {
  const id = `${Date.now()}-${marks++}`;
  const lists = new Map<string, string>();
  for (const [list, ofList] of Map.groupBy(condemned, ({ digest }) => firstList(digest))) {
    const bytes = Buffer.from(ofList.map(condemnedLine).sort().join(''));
    await store.put(markList(id, list), bytes);
    lists.set(list, createHash('sha256').update(bytes).digest('hex'));
  }
  await store.put(markKey(id), serializeMark({ id, began, lists }));
  return id;
}

/** Condemns what no tag reaches, and looks again once all commits by those who have not read the mark have landed. */
export async function beginCollection(store: ObjectStore, { names, digests }: Collected) {
  const goes = async () => {
    const needed = await neededIn(store, names);
    return digests.filter((digest) => !needed.has(digest));
  };
  const found = await goes();
  const mark = await condemn(
    store,
    found.map((digest) => ({ digest, in: '*' })),
  );
  await sleep(await fencingOf(store).end());
  const again = new Set(await goes());
  return { mark, going: found.filter((digest) => again.has(digest)) };
}

/** Deletes what is left under a mark, and removes it. */
export async function endCollection(
  store: ObjectStore,
  names: readonly RepositoryName[],
  { mark, going }: { readonly mark: string; readonly going: readonly Digest[] },
): Promise<void> {
  try {
    for (const digest of going) await deleteDigest(store, names, mark, digest);
  } catch (error) {
    // A writer has ended a deletion, or it took too long. The rest is left, since it may be needed by what is still there.
    if (!(error instanceof FenceEnded)) throw error;
  }
  await store.put(retiredKey(mark), Buffer.from('{}'));
  await sleep(await fencingOf(store).end());
  await store.delete([markKey(mark)]);
  const rescues = await Array.fromAsync(listObjects(store, rescuesPrefix(mark)), ({ key }) => key);
  await store.delete([...rescues, markList(mark, 'sha256:')]);
  await store.delete([retiredKey(mark)]);
}

export async function collect(store: ObjectStore, collected: Collected): Promise<void> {
  await endCollection(store, collected.names, await beginCollection(store, collected));
}

async function deleteDigest(
  store: ObjectStore,
  names: readonly RepositoryName[],
  mark: string,
  digest: Digest,
): Promise<void> {
  const key = deletionKey(mark, String(marks++));
  const fence = await fencingOf(store).openDeletion({
    key,
    bytes: serializeDeletion({ from: digest, to: digest }),
  });
  try {
    if (await exists(store, rescueKey(mark, digest))) return;
    if (!(await exists(store, markKey(mark))) || (await exists(store, retiredKey(mark)))) return;
    const links = names.flatMap((name) => [layerLink(name, digest), revisionLink(name, digest)]);
    await store.delete(links, { fence });
    await store.delete([blobData(digest)], { fence });
  } finally {
    await store.delete([key]);
  }
}

/** All that tags reach. */
async function neededIn(store: ObjectStore, names: readonly RepositoryName[]): Promise<ReadonlySet<Digest>> {
  const needed = new Set<Digest>();
  for (const name of names) {
    const manifests = (await taggedIn(store, name)).map(({ digest }) => digest);
    for (const manifest of manifests)
      for (const { kind, digest } of await partsOf(store, name, manifest)) {
        needed.add(digest);
        if (kind === 'manifest') manifests.push(...(await referrersOf(store, name, digest)));
      }
  }
  return needed;
}

/** The tags of a repository. */
export async function taggedIn(store: ObjectStore, name: RepositoryName) {
  const tags: { readonly tag: string; readonly digest: Digest }[] = [];
  for await (const { key } of listObjects(store, repositoryPrefix(name))) {
    const parsed = parseRepositoryKey(key);
    const link = parsed?.kind === 'tag' ? await readLink(store, key) : undefined;
    if (parsed?.kind === 'tag' && link !== undefined) tags.push({ tag: parsed.tag, digest: link.digest });
  }
  return tags;
}

export async function referrersOf(
  store: ObjectStore,
  name: RepositoryName,
  subject: Digest,
): Promise<Digest[]> {
  const entries = listObjects(store, subjectPrefix(name, subject));
  const found = await Array.fromAsync(entries, ({ key }) => parseReferrerKey(name, key)?.referrer ?? []);
  return found.flat();
}
