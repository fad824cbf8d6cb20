import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import { referrersTag } from '../protocol/referrers.ts';
import { isTag, type Tag } from '../protocol/tags.ts';
import { UpstreamError, type Upstream, type UpstreamTags } from './upstream.ts';

/** A manifest that others may refer to. */
export interface Subject {
  readonly name: RepositoryName;
  readonly subject: Digest;
}

/** Asks for a list of a repository. @param path below the repository @param limit bytes @throws UpstreamError unless the status is 200 */
export type AskList = (
  path: string,
  what: string,
  limit: number,
) => Promise<{ readonly bytes: Buffer; readonly headers: IncomingHttpHeaders }>;

/** Bytes of a page, and pages of a list. */
const maxPageBytes = 4 * 1024 * 1024;
const maxPages = 10_000;

/** Entries of a list, all of which are in memory at the same time. */
const maxTags = 200_000;
const maxReferrers = 10_000;

/** Bytes of all pages of a list of referrers: their annotations may have any length. */
const maxReferrersBytes = 8 * 1024 * 1024;

/** Tags that are asked for at once; registries may give fewer. */
const pageSize = 1000;

/** All tags of a repository (end-8). What is no tag is left out. @throws UpstreamError also if there are too many */
export async function* listTags(ask: AskList, host: string, name: RepositoryName): AsyncGenerator<Tag, void> {
  const what = `the tags of ${name}`;
  let count = 0;
  for await (const bytes of pages(ask, host, what, `tags/list?n=${pageSize}`)) {
    for (const tag of tagsIn(bytes, what, host)) {
      if (count === maxTags) throw tooMany(host, what, maxTags, 'name tags instead');
      count++;
      yield tag;
    }
  }
}

/** A page of the tags of a repository (end-8). What is no tag is left out. */
export async function readTagPage(
  ask: AskList,
  host: string,
  name: RepositoryName,
  { n, last }: Page,
): Promise<UpstreamTags> {
  const what = `the tags of ${name}`;
  const query = new URLSearchParams({ n: String(n), ...(last !== '' && { last }) });
  const first = `tags/list?${query.toString()}`;
  const { bytes, headers } = await ask(first, what, maxPageBytes);
  const listed = tagsIn(bytes, what, host);
  const linked = nextOf(headers['link'], first);
  const at = listed.findIndex((tag) => tag === last);
  // Some registries know no pages, and send all tags each time, in any order. Those that know them may have an order of their own.
  const isAll = linked === undefined && (last === '' || at !== -1 || listed.length > n);
  const rest = isAll ? listed.filter((tag) => tag > last).toSorted() : listed.slice(at + 1);
  if (rest.length > n) return { tags: rest.slice(0, n), next: rest[n - 1] };
  if (linked === undefined) return { tags: rest, next: undefined };
  return { tags: rest, next: new URLSearchParams(linked.split('?', 2)[1]).get('last') ?? rest.at(-1) };
}

/**
 * The referrers of a manifest (end-12).
 * @param read takes what is wanted of them from a page
 * @returns undefined if the registry does not have that API
 * @throws UpstreamError also if there are too many
 */
export async function listReferrers<T>(
  ask: AskList,
  host: string,
  { name, subject }: Subject,
  read: (page: Buffer) => readonly T[],
): Promise<readonly T[] | undefined> {
  const what = `the referrers of ${subject} in ${name}`;
  const found: T[] = [];
  let size = 0;
  try {
    for await (const bytes of pages(ask, host, what, `referrers/${subject}`)) {
      size += bytes.byteLength;
      found.push(...read(bytes));
      if (found.length > maxReferrers || size > maxReferrersBytes)
        throw tooMany(host, what, maxReferrers, 'copy without them');
    }
    return found;
  } catch (error) {
    if (isUnknown(error)) return undefined;
    throw error;
  }
}

/** The list of referrers that clients keep at a tag where a registry does not (OCI Distribution Spec, "Referrers Tag Schema"). */
export async function readReferrersTag<T>(
  upstream: Pick<Upstream, 'resolve' | 'manifest'>,
  { name, subject }: Subject,
  read: (index: Buffer) => readonly T[],
): Promise<readonly T[]> {
  const tag = referrersTag(subject);
  try {
    const { digest } = await upstream.resolve(name, { kind: 'tag', tag });
    return read((await upstream.manifest(name, digest)).bytes);
  } catch (error) {
    if (isUnknown(error)) return [];
    throw error;
  }
}

async function* pages(ask: AskList, host: string, what: string, first: string): AsyncGenerator<Buffer, void> {
  let path: string | undefined = first;
  for (let page = 0; path !== undefined; page++) {
    if (page === maxPages) throw new UpstreamError('unavailable', `${host} has no end of ${what}`);
    const { bytes, headers } = await ask(path, what, maxPageBytes);
    yield bytes;
    path = nextOf(headers['link'], first);
  }
}

/** The query of the next page (RFC 8288). The rest of the URL stays: credentials go nowhere else. */
function nextOf(header: string | readonly string[] | undefined, first: string): string | undefined {
  const [, target] = /<([^>]*)>\s*;[^,]*\brel="?next\b/.exec(String(header)) ?? [];
  const query = target === undefined ? undefined : URL.parse(target, 'https://registry.invalid/')?.search;
  return query === undefined || query === '' ? undefined : `${first.split('?', 1)[0]}${query}`;
}

function tagsIn(bytes: Buffer, what: string, host: string): Tag[] {
  const { tags } = readObject(bytes, what, host);
  // Go writes an empty list as null.
  if (!Array.isArray(tags ?? []))
    throw new UpstreamError('unavailable', `${host} answered with no list for ${what}`);
  return ((tags ?? []) as unknown[]).filter((tag) => typeof tag === 'string').filter(isTag);
}

function readObject(bytes: Buffer, what: string, host: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new UpstreamError('unavailable', `${host} answered with no JSON for ${what}`);
}

function tooMany(host: string, what: string, most: number, remedy: string): UpstreamError {
  return new UpstreamError(
    'unavailable',
    `${host} has more than ${most} entries in ${what}, which is too many to list: ${remedy}`,
  );
}

function isUnknown(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'unknown';
}
