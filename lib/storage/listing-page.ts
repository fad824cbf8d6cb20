import { compareKeys, StoreUnavailable, type Listing, type ObjectInfo } from './store.ts';

/** Sorts after every key that begins with what stands before it. */
const last = '\u{10ffff}';

/** Where a listing goes on: a rolled-up prefix that counts as listed is passed over with all that it stands for. */
export function skipListed(prefix: string, delimiter: string | undefined, startAfter: string): string {
  if (delimiter === undefined || !startAfter.startsWith(prefix)) return startAfter;
  const at = startAfter.indexOf(delimiter, prefix.length);
  return at < 0 ? startAfter : startAfter.slice(0, at + delimiter.length) + last;
}

/** What a bucket has answered. */
interface Answered {
  readonly objects: readonly ObjectInfo[];
  readonly prefixes: readonly string[];
  readonly isTruncated: boolean;
}

/**
 * A page of what a bucket has answered.
 * @throws StoreUnavailable when it would go on for ever
 */
export function listingPage(
  { objects, prefixes: answered, isTruncated }: Answered,
  { bucket, prefix, startAfter }: Readonly<Record<'bucket' | 'prefix' | 'startAfter', string>>,
): Listing {
  // Servers differ in whether a prefix counts as listed once a key within it was.
  const prefixes = answered.filter((one) => !startAfter.startsWith(one));
  if (!isTruncated) return { objects, prefixes, next: undefined };
  const end = [objects.at(-1)?.key, prefixes.at(-1)]
    .filter((key) => key !== undefined)
    .sort(compareKeys)
    .at(-1);
  if (end === undefined || compareKeys(end, startAfter) <= 0) throw standstill(prefix, bucket);
  return { objects, prefixes, next: end };
}

/** Whoever asks for page after page would never come to an end. */
export function standstill(prefix: string, bucket: string): StoreUnavailable {
  return new StoreUnavailable(prefix, `the bucket ${bucket} says that its listing goes on, and not where`);
}
