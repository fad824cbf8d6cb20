import type { RepositoryName } from '../../protocol/names.ts';
import { parsePullRecord, pulledManifestsPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { DeletionRecords } from '../../registry/undo/records.ts';
import { pushesInForce } from '../../registry/undo/pushes-in-force.ts';
import type { ObjectStore } from '../../storage/store.ts';
import type { ListedRepository } from './listed-repository.ts';

/** Numbers of the manifests to which tags of a repository led after a time, by what the histories of those that are there say. */
export function* taggedLately({ tags }: ListedRepository, since: number): Generator<number, void> {
  for (const { link, history } of tags) {
    const pushes = history.map(({ manifest, written }) => ({ manifest, at: written }));
    for (const { manifest } of pushesInForce(pushes, { since, end: link?.written })) yield manifest;
  }
}

/** … of tags that were deleted since, by the records of their deletes. */
export async function* untaggedLately(
  store: ObjectStore,
  { name, digests }: ListedRepository,
  since: number,
): AsyncGenerator<number, void> {
  const records = new DeletionRecords(store);
  for await (const digest of records.untaggedSince(name as RepositoryName, new Date(since))) {
    const number = digests.find(digest);
    if (number !== undefined) yield number;
  }
}

/** Milliseconds: a pull is recorded once a day at most, so it may have been later by that. */
const recordedEveryMs = 24 * 60 * 60 * 1000;

/** … of manifests that were pulled by their digest since, by the records of pulls. */
export async function* pulledLately(
  store: ObjectStore,
  { name, digests }: ListedRepository,
  since: number,
): AsyncGenerator<number, void> {
  for await (const { key, lastModified } of listObjects(
    store,
    pulledManifestsPrefix(name as RepositoryName),
  )) {
    const digest = parsePullRecord(name as RepositoryName, key);
    const number = digest && digests.find(digest);
    if (number !== undefined && lastModified.getTime() + recordedEveryMs > since) yield number;
  }
}
