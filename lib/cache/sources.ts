import type { Pattern } from '../access/policy/patterns.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { Platform } from '../protocol/manifest-fields.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import type { Upstream } from '../upstream/upstream.ts';

/** Repositories that are caches of another registry's. */
export interface CachedPrefix {
  /** What their names begin with, such as `docker-hub/`; empty if the whole registry is a cache. */
  readonly prefix: string;
  /** Whether the upstream has the names without the prefix. */
  readonly stripPrefix: boolean;
  readonly upstream: Upstream;
  /** Hexadecimal digits that stand for the upstream and the user there: what bounds requests goes by it, and objects in the bucket. */
  readonly account: string;
  /**
   * Stands for all that decides what the upstream answers, such as the password. What is known of its answers goes by it, so that a wrong
   * entry leaves others of the same account alone. Never written anywhere.
   */
  readonly id: string;
  /** The upstream's repositories that may be pulled; empty for all. */
  readonly repositories: readonly Pattern[];
  /** Images for others are refused; empty for all. */
  readonly platforms: readonly Platform[];
  /** Milliseconds after which the upstream is asked again where a tag points. */
  readonly freshnessMs: number;
}

/** Where the content of a repository comes from. */
export interface Source extends Pick<
  CachedPrefix,
  'upstream' | 'account' | 'id' | 'prefix' | 'platforms' | 'freshnessMs'
> {
  /** Its name at the upstream. */
  readonly remote: RepositoryName;
}

/** The upstreams of a registry, by the prefixes of names. */
export class Sources {
  readonly #prefixes: readonly CachedPrefix[];

  constructor(prefixes: readonly CachedPrefix[]) {
    // The longest first, so that the closest one is found.
    this.#prefixes = prefixes.toSorted((a, b) => b.prefix.length - a.prefix.length);
  }

  /** The upstream's host; undefined for a repository of this registry's own. */
  hostOf(name: RepositoryName): string | undefined {
    return this.#prefixOf(name)?.upstream.host;
  }

  /** Whether another repository is a cache of the same registry, which has said that this one has a blob as well. */
  isBeside(source: Source, name: RepositoryName, other: RepositoryName): boolean {
    return other !== name && other.startsWith(source.prefix) && this.#prefixOf(other)?.id === source.id;
  }

  /**
   * Where the content of a repository comes from; undefined for one of this registry's own.
   * @throws RegistryError DENIED if the upstream's repository may not be pulled
   */
  of(name: RepositoryName): Source | undefined {
    const found = this.#prefixOf(name);
    if (found === undefined) return undefined;
    const remote = remoteName(name, found);
    const segments = remote.split('/');
    const isAllowed =
      found.repositories.length === 0 || found.repositories.some((pattern) => pattern.matches(segments));
    if (!isAllowed)
      throw new RegistryError(
        'DENIED',
        `${remote} is none of the repositories of ${found.upstream.host} that may be pulled through this registry`,
      );
    return { ...found, remote };
  }

  #prefixOf(name: RepositoryName): CachedPrefix | undefined {
    return this.#prefixes.find(({ prefix }) => name.startsWith(prefix));
  }
}

function remoteName(
  name: RepositoryName,
  { prefix, stripPrefix, upstream }: Pick<CachedPrefix, 'prefix' | 'stripPrefix' | 'upstream'>,
): RepositoryName {
  const rest = stripPrefix ? name.slice(prefix.length) : name;
  // As docker does: the official images have short names.
  const remote = isDockerHub(upstream.host) && !rest.includes('/') ? `library/${rest}` : rest;
  if (!isRepositoryName(remote)) throw new RegistryError('NAME_INVALID', undefined, [{ name }]);
  return remote;
}

/** @param host of an upstream */
export function isDockerHub(host: string): boolean {
  return ['registry-1.docker.io', 'index.docker.io', 'docker.io'].includes(host);
}
