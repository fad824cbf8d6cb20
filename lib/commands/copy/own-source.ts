import { isDockerHub } from '../../cache/sources.ts';
import type { UpstreamConfig } from '../../config/upstreams.ts';
import type { CopySource } from '../../copy/source.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Reference } from '../../protocol/references.ts';
import { shownImage } from './image-name.ts';

/**
 * A repository of one's own storage that says what may have been meant, where it lacks something.
 * @param upstream of which it is a cache
 */
export function withRemedies(
  source: CopySource,
  name: RepositoryName,
  upstream: Pick<UpstreamConfig, 'url' | 'prefix' | 'stripPrefix'> | undefined,
): CopySource {
  const lacks = async <T>(work: Promise<T>, reference: Reference): Promise<T> =>
    await work.catch((error: unknown) => {
      if (!(error instanceof RegistryError && error.status === 404)) throw error;
      const message =
        upstream === undefined ? ofDockerHub(name, reference) : ofUpstream(name, reference, upstream);
      throw message === undefined ? error : new RegistryError(error.failure, message);
    });
  const resolve = async (reference: Reference) => await lacks(source.resolve(reference), reference);
  if (upstream === undefined) return { ...source, resolve };
  return {
    ...source,
    resolve,
    manifest: async (digest) => await lacks(source.manifest(digest), { kind: 'digest', digest }),
    give: async (target, digest) => await lacks(source.give(target, digest), { kind: 'digest', digest }),
  };
}

/** @returns undefined if Docker Hub can have no such name */
function ofDockerHub(name: RepositoryName, reference: Reference): string | undefined {
  const parts = name.split('/').length;
  if (parts > 2) return undefined;
  const there = `${parts === 1 ? 'docker.io/library' : 'docker.io'}/${shownImage({ host: undefined, name, reference })}`;
  return `this registry's storage has no ${shownImage({ host: undefined, name, reference })}; on Docker Hub it is ${there}`;
}

function ofUpstream(
  name: RepositoryName,
  reference: Reference,
  { url, prefix, stripPrefix }: Pick<UpstreamConfig, 'url' | 'prefix' | 'stripPrefix'>,
): string {
  const { host } = new URL(url);
  const rest = stripPrefix ? name.slice(prefix.length) : name;
  const remote = isDockerHub(host) && !rest.includes('/') ? `library/${rest}` : rest;
  const what = reference.kind === 'tag' ? `tag ${reference.tag}` : reference.digest;
  return `${name} is a cache of ${host}, and has what was pulled alone, but not ${what}: copy from ${host}/${remote}`;
}
