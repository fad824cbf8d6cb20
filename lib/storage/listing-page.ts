import { compareKeys, StoreUnavailable, type Listing, type ListOptions, type ObjectInfo } from './store.ts';

/** Sorts after every key that begins with what stands before it. */
const last = '\u{10ffff}';

/** The character after a slash: the first key after all of a folder ends with it in the slash's place. */
const afterSlash = '0';

/** Most entries of a page. */
const largestPage = 1000;

/** One request for a page of a bucket. */
export interface PageRequest {
  readonly prefix: string;
  readonly delimiter?: string | undefined;
  /** Only keys after this one; empty for all. */
  readonly after: string;
  readonly maxKeys: number;
}

/** What a bucket has answered. */
export interface PageResponse {
  readonly objects: readonly ObjectInfo[];
  readonly prefixes: readonly string[];
  readonly isTruncated: boolean;
}

/** A bucket that is listed page by page. */
export interface PagedBucket {
  readonly name: string;
  /** Most entries that it has in an answer; 1000 unless given. */
  readonly maxPageSize?: number;
  readonly request: (request: PageRequest) => Promise<PageResponse>;
  /**
   * Whether what it lists after a key is known to be complete also where the key lies in a folder below the prefix. On
   * MinIO it is not: it reads that folder's neighbours that sort before it, of `app/x` the keys in `app-web/`, stops
   * when those fill a page, and says that nothing follows.
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
 * @throws StoreUnavailable when it would go on for ever
 */
export async function listPage(bucket: PagedBucket, options: ListOptions): Promise<Listing> {
  const limit = Math.min(options.limit ?? largestPage, bucket.maxPageSize ?? largestPage);
  const entries = new Map<string, Entry>();
  let more = false;
  for await (const answer of answers(bucket, options, () => limit - entries.size)) {
    for (const entry of entriesOf(answer, options)) entries.set(entry.key, entry);
    more = answer.isTruncated || entries.size > limit;
    if (more) break;
  }
  const page = [...entries.values()].slice(0, limit);
  return {
    objects: page.flatMap(({ object }) => object ?? []),
    prefixes: page.flatMap(({ key, object }) => (object === undefined ? [key] : [])),
    next: more ? endOf(page, bucket.name, options) : undefined,
  };
}

/**
 * What follows `startAfter`, in order. Where the bucket is not to be asked for what follows a key in a folder, it is asked
 * for the rest of that folder alone, then for what follows it in the one above, and so on.
 * @param room entries that the page still has room for
 */
async function* answers(
  bucket: PagedBucket,
  { prefix = '', delimiter, startAfter = '' }: ListOptions,
  room: () => number,
): AsyncGenerator<PageResponse, void> {
  const ask = async (folder: string, after: string, more = 0) =>
    await bucket.request({
      prefix: folder.length > prefix.length ? folder : prefix,
      delimiter,
      after,
      maxKeys: Math.min(room() + more, largestPage),
    });
  const after = skipListed(prefix, delimiter, startAfter);
  const top = folderOf(prefix);
  if (bucket.startsInFolders || !after.startsWith(prefix) || folderOf(after) === top) {
    yield await ask(top, after);
    return;
  }
  // One entry more than the page has room for tells whether any follow.
  let folder = folderOf(after);
  if (after !== folder + last) yield await ask(folder, after, 1);
  for (; folder !== top; folder = folderOf(folder.slice(0, -1))) {
    const next = folder.slice(0, -1) + afterSlash;
    yield await only(bucket, next);
    yield await ask(folderOf(next), next, 1);
  }
}

/** The object that has just this key, if there is one: a listing that starts after it leaves it out. */
async function only(bucket: PagedBucket, key: string): Promise<PageResponse> {
  const { objects } = await bucket.request({ prefix: key, after: '', maxKeys: 1 });
  return { objects: objects.filter((object) => object.key === key), prefixes: [], isTruncated: false };
}

/** Up to its last slash. */
function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

/** Where a listing goes on: a rolled-up prefix that counts as listed is passed over with all that it stands for. */
function skipListed(prefix: string, delimiter: string | undefined, startAfter: string): string {
  const listed = rolledUp(prefix, delimiter, startAfter);
  return listed === undefined ? startAfter : listed + last;
}

/** What stands for a key, which begins with the prefix, in a listing that rolls up; undefined for the key itself. */
function rolledUp(prefix: string, delimiter: string | undefined, key: string): string | undefined {
  if (delimiter === undefined || !key.startsWith(prefix)) return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

/**
 * The entries of an answer in order. A bucket that was asked for one folder alone looks for the delimiter only after that,
 * so what it has not rolled up, or not at the first place, is so here.
 */
function entriesOf(
  { objects, prefixes }: PageResponse,
  { prefix = '', delimiter, startAfter = '' }: ListOptions,
): Entry[] {
  const found: Entry[] = [
    ...objects.map((object) => ({ key: object.key, object })),
    ...prefixes.map((key) => ({ key })),
  ];
  return (
    found
      .map((entry) => {
        const key = rolledUp(prefix, delimiter, entry.key);
        return key === undefined ? entry : { key };
      })
      // Servers differ in whether a prefix counts as listed once a key within it was.
      .filter(({ key, object }) => object !== undefined || !startAfter.startsWith(key))
      .sort((a, b) => compareKeys(a.key, b.key))
  );
}

/** The last entry, after which the next page begins. */
function endOf(
  page: readonly Entry[],
  bucket: string,
  { prefix = '', startAfter = '' }: ListOptions,
): string {
  const end = page.at(-1)?.key;
  if (end === undefined || compareKeys(end, startAfter) <= 0) throw stalledListing(prefix, bucket);
  return end;
}

/** Whoever asks for page after page would never come to an end. */
export function stalledListing(prefix: string, bucket: string): StoreUnavailable {
  return new StoreUnavailable(prefix, `the bucket ${bucket} says that its listing goes on, and not where`);
}
