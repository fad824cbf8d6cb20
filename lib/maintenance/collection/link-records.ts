import { linkRecordKey, linkRecordsPrefix, markOfLinkRecord } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey, type RepositoryKey } from '../../registry/repository-keys.ts';
import { removeKeys } from '../../registry/remove-objects.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { readWithHash, withHash } from './hashed-text.ts';
import type { PlannedDeletion } from './plan.ts';

/*
 * Records of links of blobs and manifests that were deleted while their bytes stayed: their keys, one a line.
 */

/** How long a record is kept, in milliseconds. */
const keptMs = 30 * 24 * 60 * 60 * 1000;

export type RecordedLink = Extract<RepositoryKey, { kind: 'layer' | 'revision' }>;

/** A record as it was listed. */
export interface LinkRecord {
  readonly key: string;
  readonly mark: string;
}

/**
 * Records the links that are to be deleted, before the first of them goes.
 * @param part the key of the part of a plan in which they are
 */
export async function recordLinks(
  store: ObjectStore,
  mark: string,
  part: string,
  planned: readonly PlannedDeletion[],
): Promise<void> {
  const links = planned.flatMap(({ keys }) => keys).filter((key) => parseLink(key) !== undefined);
  const name = part.split('/').slice(-2).join('-');
  if (links.length > 0) await writeRecord(store, linkRecordKey(mark, name), links);
}

/** Lists all records, and removes those that are too old. */
export async function listRecords(store: ObjectStore, now: Date): Promise<LinkRecord[]> {
  const records: LinkRecord[] = [];
  const old: string[] = [];
  for await (const object of listObjects(store, linkRecordsPrefix)) {
    if (now.getTime() - object.lastModified.getTime() > keptMs) old.push(object.key);
    else records.push({ key: object.key, mark: markOfLinkRecord(object.key) });
  }
  await removeKeys(store, old);
  return records;
}

/** @returns the keys of its links; none if it is gone or damaged */
export async function readRecord(store: ObjectStore, { key }: LinkRecord): Promise<string[]> {
  const text = await readWithHash(store, key);
  return text === undefined ? [] : text.split('\n');
}

/** @param links the keys that it is to have from now on; without any, it is removed */
export async function rewriteRecord(
  store: ObjectStore,
  { key }: LinkRecord,
  links: readonly string[],
): Promise<void> {
  if (links.length === 0) await store.delete([key]);
  else await writeRecord(store, key, links);
}

async function writeRecord(store: ObjectStore, key: string, links: readonly string[]): Promise<void> {
  await store.put(key, withHash(links.join('\n')));
}

/** @returns undefined for the key of anything else */
export function parseLink(key: string): RecordedLink | undefined {
  const parsed = parseRepositoryKey(key);
  return parsed?.kind === 'layer' || parsed?.kind === 'revision' ? parsed : undefined;
}
