import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Reference } from '../../protocol/references.ts';
import type { EventContext, EventDescriptor, RegistryEvent } from '../events.ts';
import type { AnnounceOptions, BlobInfo, MountedBlob, Registry } from '../interface.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { wrap } from './wrap.ts';

/**
 * A registry that emits events for successful operations. Failed or refused ones emit none.
 * @param emit called after the operation succeeds and before its caller learns of it
 * @param outbox where changes are announced before they can be seen; nowhere if no endpoint is configured
 */
export function withEvents(
  registry: Registry,
  context: EventContext,
  emit: (event: RegistryEvent) => void,
  outbox?: Outbox,
): Registry {
  const announcing: AnnounceOptions =
    outbox === undefined ? {} : { announce: (change) => outbox.announce(change, context) };

  const aboutBlob = (repository: RepositoryName, blob: BlobInfo) =>
    ({
      ...context,
      repository,
      content: 'blob',
      reference: byDigest(blob.digest),
      descriptor: { digest: blob.digest, mediaType: 'application/octet-stream', size: blob.size },
    }) as const;

  const aboutManifest = (repository: RepositoryName, reference: Reference, descriptor: EventDescriptor) =>
    ({ ...context, repository, content: 'manifest', reference, descriptor }) as const;

  const pushedBlob = async (repository: RepositoryName, push: Promise<BlobInfo>): Promise<BlobInfo> => {
    const blob = await push;
    emit({ ...aboutBlob(repository, blob), action: 'pushed' });
    return blob;
  };

  const mounted = async (
    repository: RepositoryName,
    mount: Promise<MountedBlob | undefined>,
  ): Promise<MountedBlob | undefined> => {
    const blob = await mount;
    if (blob !== undefined) emit({ ...aboutBlob(repository, blob), action: 'mounted', from: blob.from });
    return blob;
  };

  return wrap(registry, {
    blobs: (blobs) => ({
      url: async (name, blob) => {
        const url = await blobs.url(name, blob);
        if (url !== undefined) emit({ ...aboutBlob(name, blob), action: 'pulled' });
        return url;
      },
      open: async (name, blob, range) => {
        const body = await blobs.open(name, blob, range);
        emit({ ...aboutBlob(name, blob), action: 'pulled' });
        return body;
      },
      mount: async (name, digest, from) => await mounted(name, blobs.mount(name, digest, from, announcing)),
      mountFromAnywhere: async (name, digest, isSource) =>
        await mounted(name, blobs.mountFromAnywhere(name, digest, isSource, announcing)),
      delete: async (name, digest, options) => {
        await blobs.delete(name, digest, { ...options, ...announcing });
        const about = { ...context, repository: name, content: 'blob', reference: byDigest(digest) } as const;
        emit({ ...about, action: 'deleted' });
      },
    }),
    uploads: (uploads) => ({
      finish: async (name, id, digest, last) =>
        await pushedBlob(name, uploads.finish(name, id, digest, last, announcing)),
      put: async (name, digest, blob) => await pushedBlob(name, uploads.put(name, digest, blob, announcing)),
    }),
    manifests: (manifests) => ({
      get: async (name, reference, accept) => {
        const found = await manifests.get(name, reference, accept);
        const { info, isStale = false } = found;
        emit({ ...aboutManifest(name, reference, info), action: 'pulled', ...(isStale && { isStale }) });
        return found;
      },
      put: async (name, reference, bytes, contentType, options) => {
        const pushed = await manifests.put(name, reference, bytes, contentType, {
          ...options,
          ...announcing,
        });
        const about = aboutManifest(name, reference, pushed.info);
        emit({ ...about, action: 'pushed', bytes });
        for (const tag of pushed.tags) emit({ ...about, action: 'tagged', reference: { kind: 'tag', tag } });
        return pushed;
      },
      delete: async (name, reference, options) => {
        await manifests.delete(name, reference, { ...options, ...announcing });
        emit({ ...context, repository: name, content: 'manifest', reference, action: 'deleted' });
      },
    }),
  });
}

function byDigest(digest: Digest): Reference {
  return { kind: 'digest', digest };
}
