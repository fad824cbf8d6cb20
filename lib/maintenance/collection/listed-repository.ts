import type { Digest } from '../../protocol/digests.ts';
import { referrersScan, repositoriesPrefix, repositoryDelimiter } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey, type RepositoryKey } from '../../registry/repository-keys.ts';
import type { ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { DigestTable } from './digest-table.ts';
import { Flags } from './flags.ts';
import { Times } from './times.ts';

/** What a repository has of a digest. */
export const has = {
  /** A link to it as a blob. */
  layer: 1,
  youngLayer: 2,
  /** A link to it as a manifest. */
  revision: 4,
  youngRevision: 8,
  /** A link to it as a signature of a schema 1 manifest, which distribution 2.3 stored as a blob. */
  signature: 16,
  youngSignature: 32,
  /** Something that stays in the repository needs it. */
  needed: 64,
} as const;

/** A link of any kind. */
export const anyLink = has.layer | has.revision | has.signature;

/** A link that goes with a manifest. */
export interface ListedEntry {
  /** The number of its manifest. */
  readonly manifest: number;
  readonly isYoung: boolean;
  /** When it was written last, in milliseconds by the clock that dates objects. */
  readonly written: number;
}

export interface ListedTag {
  readonly tag: string;
  /** Of its link; undefined if there is only a history. */
  link: (Pick<ObjectInfo, 'key' | 'etag'> & Pick<ListedEntry, 'isYoung' | 'written'>) | undefined;
  /** The manifests it has pointed at. */
  readonly history: ListedEntry[];
}

export interface ListedSignature extends ListedEntry {
  readonly blob: number;
}

export interface ListedReferrer extends ListedEntry {
  readonly subject: number;
}

/** The links of a repository, as listed. Digests are numbered. */
export class ListedRepository {
  readonly name: string;
  readonly digests = new DigestTable();
  /** By number of the digest: see {@link has}. */
  readonly flags = new Flags();
  /** When links were written last, by number of the digest, in milliseconds by the clock that dates objects. */
  readonly written = { layer: new Times(), revision: new Times() };
  readonly tags: ListedTag[] = [];
  readonly signatures: ListedSignature[] = [];
  /** The entries of the index of referrers. */
  readonly referrers: ListedReferrer[] = [];
  /** The progress of the scan for referrers, if it is there. It means nothing without manifests. */
  scan: (Pick<ObjectInfo, 'key'> & Pick<ListedEntry, 'isYoung'>) | undefined;
  /** Keys that are not understood, the first of them. Nothing of such a repository may go. */
  unknown: string | undefined;

  constructor(name: string) {
    this.name = name;
  }

  add(key: RepositoryKey, object: ObjectInfo, isYoung: boolean): void {
    const written = object.lastModified.getTime();
    const entryOf = (manifest: Digest) => ({ manifest: this.digests.add(manifest), isYoung, written });
    switch (key.kind) {
      case 'layer':
        this.written.layer.set(this.#mark(key.digest, has.layer | (isYoung ? has.youngLayer : 0)), written);
        break;
      case 'revision':
        this.written.revision.set(
          this.#mark(key.digest, has.revision | (isYoung ? has.youngRevision : 0)),
          written,
        );
        break;
      case 'signature':
        this.signatures.push({
          ...entryOf(key.manifest),
          blob: this.#mark(key.digest, has.signature | (isYoung ? has.youngSignature : 0)),
        });
        break;
      case 'tag':
        this.#tag(key.tag).link = { key: object.key, etag: object.etag, isYoung, written };
        break;
      case 'tag index':
        this.#tag(key.tag).history.push(entryOf(key.digest));
        break;
      case 'referrer':
        this.referrers.push({ ...entryOf(key.referrer), subject: this.digests.add(key.subject) });
        break;
      case 'other':
        if (object.key === referrersScan(key.name)) this.scan = { key: object.key, isYoung };
        break;
    }
  }

  /** Whether there is no link of any kind. */
  get isEmpty(): boolean {
    return this.digests.size === 0 && this.tags.length === 0;
  }

  /** @returns the number of the digest */
  #mark(digest: Digest, flags: number): number {
    const number = this.digests.add(digest);
    this.flags.add(number, flags);
    return number;
  }

  /** The keys of a tag follow one another. */
  #tag(tag: string): ListedTag {
    const last = this.tags.at(-1);
    if (last?.tag === tag) return last;
    const added: ListedTag = { tag, link: undefined, history: [] };
    this.tags.push(added);
    return added;
  }
}

/**
 * All repositories, in the order of their keys, by one listing. Only one of them is in memory.
 * @param isYoung whether an object must not go yet
 * @param after only those after this one
 * @param onKey is called for each key
 */
export async function* listRepositories(
  store: ObjectStore,
  isYoung: (object: ObjectInfo) => boolean,
  {
    after,
    onKey = () => undefined,
  }: { after?: string | undefined; onKey?: (repository: string) => void } = {},
): AsyncGenerator<ListedRepository, void> {
  let repository: ListedRepository | undefined;
  // An unreadable folder must fail the listing: what is not listed would look like garbage.
  for await (const object of listObjects(store, repositoriesPrefix, { startAfter: endOf(after) })) {
    const name = nameIn(object.key);
    if (name === undefined) continue;
    if (repository?.name !== name) {
      if (repository !== undefined) yield repository;
      repository = new ListedRepository(name);
    }
    const key = parseRepositoryKey(object.key);
    if (isUnknown(key, object.key)) repository.unknown ??= object.key;
    else repository.add(key, object, isYoung(object));
    onKey(name);
  }
  if (repository !== undefined) yield repository;
}

/** One repository, with all its keys. */
export async function listRepository(
  store: ObjectStore,
  name: string,
): Promise<{ readonly listed: ListedRepository; readonly keys: ReadonlySet<string> }> {
  const listed = new ListedRepository(name);
  const keys = new Set<string>();
  for await (const object of listObjects(store, `${repositoriesPrefix}${name}${repositoryDelimiter}`)) {
    const key = parseRepositoryKey(object.key);
    keys.add(object.key);
    if (key !== undefined) listed.add(key, object, false);
  }
  return { listed, keys };
}

/** A key after all of a repository, and before those of the next: its entries start with an underscore, which a backtick follows. */
function endOf(repository: string | undefined): string {
  return repository === undefined ? '' : `${repositoriesPrefix}${repository}/\``;
}

/** Whether a key may be that of a manifest or tag which cannot be read, as one with a digest of another algorithm. */
function isUnknown(parsed: RepositoryKey | undefined, key: string): parsed is undefined {
  return (
    parsed === undefined || (parsed.kind === 'other' && key.includes(`${repositoryDelimiter}manifests/`))
  );
}

/** The text before the first entry of a repository, whether it is a valid name or not. */
function nameIn(key: string): string | undefined {
  const end = key.indexOf(repositoryDelimiter, repositoriesPrefix.length);
  return end < 0 ? undefined : key.slice(repositoriesPrefix.length, end);
}
