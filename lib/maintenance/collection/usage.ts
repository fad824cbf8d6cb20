import { anyLink, type ListedRepository } from './listed-repository.ts';
import { owns, type SeenBlob, type SeenRepository, type Visitor } from './look.ts';
import type { Damaged } from './garbage.ts';

/** Bytes of blobs and manifests, each of which counts once. */
export interface Used {
  /** Of those that nothing else of this kind has. */
  own: number;
  /** Of those that others have as well. */
  shared: number;
}

export interface RepositoryUsage extends Used {
  readonly name: string;
}

export interface TagUsage extends Used {
  readonly repository: string;
  /** Undefined for all that no tag of the repository reaches. */
  readonly tag: string | undefined;
}

/**
 * Counts what namespaces, repositories and tags use. A repository uses what it has a link to, and a tag what it reaches of that. A
 * namespace is all repositories with the same first component.
 */
export class Usage implements Visitor {
  readonly total = { repositories: 0, blobs: 0, bytes: 0 };
  /** In no repository. */
  readonly unlinked = { blobs: 0, bytes: 0 };
  /** By id, in the order of listings. */
  readonly repositories: RepositoryUsage[] = [];
  readonly namespaces = new Map<string, Used>();
  /** Unless they are left out: some 200 bytes of memory each. */
  readonly tags: TagUsage[] = [];
  readonly damaged: Damaged[] = [];
  readonly #withTags: boolean;
  /** By repository, what no tag of it reaches. */
  readonly #untagged: TagUsage[] = [];
  /** By tag, the number of its repository. */
  readonly #repositoryOf: number[] = [];

  constructor(withTags: boolean) {
    this.#withTags = withTags;
  }

  repository({ id, listed, named, reach }: SeenRepository, add: Parameters<Visitor['repository']>[1]): void {
    const { name, digests } = listed;
    this.total.repositories += 1;
    if (named.damage.length > 0) this.damaged.push({ name, reasons: named.damage });
    this.repositories[id] = { name, own: 0, shared: 0 };
    const namespace = namespaceOf(name);
    if (!this.namespaces.has(namespace)) this.namespaces.set(namespace, { own: 0, shared: 0 });
    if (!this.#withTags) return;
    for (const [{ tag }, manifest] of named.tags) {
      for (const number of reach.of(manifest))
        if (isLinked(listed, number)) add(digests.get(number), this.tags.length);
      this.#repositoryOf.push(id);
      this.tags.push({ repository: name, tag, own: 0, shared: 0 });
    }
    this.#untagged[id] = { repository: name, tag: undefined, own: 0, shared: 0 };
  }

  blob({ size, owners }: SeenBlob): void {
    this.total.blobs += 1;
    this.total.bytes += size;
    const repositories = owners.filter(({ flags }) => (flags & owns.link) !== 0).map(({ id }) => id);
    if (repositories.length === 0) {
      this.unlinked.blobs += 1;
      this.unlinked.bytes += size;
      return;
    }
    const used = repositories.flatMap((id) => this.repositories[id] ?? []);
    count(used, size);
    const namespaces = new Set(used.map(({ name }) => namespaceOf(name)));
    count(
      [...namespaces].flatMap((name) => this.namespaces.get(name) ?? []),
      size,
    );
    if (!this.#withTags) return;
    const tags = owners.filter(({ flags }) => (flags & owns.other) !== 0).map(({ id }) => id);
    const tagged = new Set(tags.map((tag) => this.#repositoryOf[tag]));
    const untagged = repositories.filter((id) => !tagged.has(id)).flatMap((id) => this.#untagged[id] ?? []);
    count([...tags.flatMap((tag) => this.tags[tag] ?? []), ...untagged], size);
  }

  /** By tag, in the order of listings, followed by what no tag reaches. */
  get byTag(): TagUsage[] {
    return [...this.tags, ...this.#untagged.filter(({ own, shared }) => own + shared > 0)];
  }
}

/** @param users all that have these bytes */
function count(users: readonly Used[], size: number): void {
  for (const user of users) user[users.length === 1 ? 'own' : 'shared'] += size;
}

function isLinked({ flags }: ListedRepository, number: number): boolean {
  return flags.has(number, anyLink);
}

function namespaceOf(name: string): string {
  return name.split('/', 1)[0] ?? name;
}
