import {
  compareKeys,
  sortByKey,
  StoreUnavailable,
  type Listing,
  type ListOptions,
  type ObjectInfo,
} from './store.ts';

/** Sorts after every key that continues the text before it. */
const maxCharacter = '\u{10ffff}';

/** The character after a slash: replacing a folder's slash with it gives the first key after the folder. */
const afterSlash = '0';

/** Most entries of a page, also in one of S3's responses ("ListObjectsV2", MaxKeys). */
export const maxPageSize = 1000;

/** One request for a page of a bucket. */
export interface PageRequest {
  readonly prefix: string;
  readonly delimiter?: string | undefined;
  /** Only keys after this one; empty for all. */
  readonly after: string;
  readonly maxKeys: number;
}

export interface PageResponse {
  readonly objects: readonly ObjectInfo[];
  readonly prefixes: readonly string[];
  readonly isTruncated: boolean;
}

/** A bucket that is listed in pages. */
interface PagedBucket {
  readonly name: string;
  /** Most entries of a response. Default: {@link maxPageSize}. */
  readonly maxPageSize?: number;
  readonly request: (request: PageRequest) => Promise<PageResponse>;
  /**
   * Whether a listing that starts after a key in a folder below the prefix is known to be complete. On MinIO it is not: for
   * `app/x` it reads sibling folders that sort before `app/`, such as `app-web/`, stops when their keys fill a page, and
   * reports the end.
   */
  readonly startsInFolders: boolean;
}

/** An object, or a rolled-up prefix without one. */
interface Entry {
  readonly key: string;
  readonly object?: ObjectInfo;
}

/**
 * One page of a bucket's keys. See `ObjectLister.list`.
 * @throws StoreUnavailable if the listing would never end
 */
export async function listPage(bucket: PagedBucket, options: ListOptions): Promise<Listing> {
  const limit = Math.min(options.limit ?? maxPageSize, bucket.maxPageSize ?? maxPageSize);
  const entries: Entry[] = [];
  let more = false;
  for await (const response of responses(bucket, options, () => limit - entries.length)) {
    // In order, so that a repeated key follows its first.
    for (const entry of entriesOf(response, options))
      if (entry.key !== entries.at(-1)?.key) entries.push(entry);
    more = response.isTruncated || entries.length > limit;
    if (more) break;
  }
  const page = entries.slice(0, limit);
  const objects = page.map(({ object }) => object).filter((object) => object !== undefined);
  const prefixes = page.filter(({ object }) => object === undefined).map(({ key }) => key);
  return { objects, prefixes, next: more ? lastKey(page, bucket.name, options) : undefined };
}

/**
 * What follows `startAfter`, in order. If the bucket cannot start in a folder, requests the rest of that folder alone,
 * then what follows it in its parent, and so on.
 * @param room entries that still fit on the page
 */
async function* responses(
  bucket: PagedBucket,
  { prefix = '', delimiter, startAfter = '' }: ListOptions,
  room: () => number,
): AsyncGenerator<PageResponse, void> {
  const request = async (folder: string, after: string, more = 0) =>
    await bucket.request({
      prefix: folder.length > prefix.length ? folder : prefix,
      delimiter,
      after,
      maxKeys: Math.min(room() + more, maxPageSize),
    });
  // Skips a rolled-up prefix that is already listed.
  const listed = rolledUp(prefix, delimiter, startAfter);
  const after = listed === undefined ? startAfter : listed + maxCharacter;
  const top = folderOf(prefix);
  if (bucket.startsInFolders || !after.startsWith(prefix) || folderOf(after) === top) {
    yield await request(top, after);
    return;
  }
  // One entry beyond the page tells whether more follow.
  let folder = folderOf(after);
  if (after !== folder + maxCharacter) yield await request(folder, after, 1);
  for (; folder !== top; folder = folderOf(folder.slice(0, -1))) {
    const next = folder.slice(0, -1) + afterSlash;
    // A listing after a key leaves out the key itself.
    const { objects } = await bucket.request({ prefix: next, after: '', maxKeys: 1 });
    yield { objects: objects.filter(({ key }) => key === next), prefixes: [], isTruncated: false };
    yield await request(folderOf(next), next, 1);
  }
}

/** A key up to its last slash. */
function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

/** The prefix that a key is rolled up to, or undefined if it is listed itself. */
export function rolledUp(prefix: string, delimiter = '', key: string): string | undefined {
  if (delimiter === '' || !key.startsWith(prefix)) return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

/**
 * The entries of a response in order. Rolls keys up again: a bucket that lists one folder alone looks for the delimiter
 * only after the folder.
 */
function entriesOf(
  { objects, prefixes }: PageResponse,
  { prefix = '', delimiter, startAfter = '' }: ListOptions,
): Entry[] {
  const found: Entry[] = [];
  for (const object of objects) {
    const key = rolledUp(prefix, delimiter, object.key);
    if (key === undefined) found.push({ key: object.key, object });
    else found.push({ key });
  }
  for (const one of prefixes) found.push({ key: rolledUp(prefix, delimiter, one) ?? one });
  // Some servers list a prefix again after a key within it.
  const isNew = ({ key, object }: Entry): boolean => object !== undefined || !startAfter.startsWith(key);
  return sortByKey(found.filter(isNew));
}

/** The key after which the next page begins. */
function lastKey(
  page: readonly Entry[],
  bucket: string,
  { prefix = '', startAfter = '' }: ListOptions,
): string {
  const last = page.at(-1)?.key;
  if (last === undefined || compareKeys(last, startAfter) <= 0) throw stalledListing(prefix, bucket);
  return last;
}

/** The error for a listing whose next page would be the same again. */
export function stalledListing(prefix: string, bucket: string): StoreUnavailable {
  return new StoreUnavailable(prefix, `the bucket ${bucket} says that its listing continues, but not where`);
}
