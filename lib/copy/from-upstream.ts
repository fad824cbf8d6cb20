import { RegistryError } from '../protocol/errors.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Upstream, UpstreamLister } from '../upstream/upstream.ts';
import type { CopySource, CopyTarget } from './source.ts';

/** Downloads of one blob: each time, the bytes had another digest. */
const maxDownloads = 3;

/** A repository of another registry. */
export function fromUpstream(upstream: Upstream & UpstreamLister, name: RepositoryName): CopySource {
  return {
    title: `${upstream.host}/${name}`,
    resolve: async (reference) => (await upstream.resolve(name, reference)).digest,
    manifest: async (digest) => (await upstream.manifest(name, digest)).bytes,
    tags: () => upstream.tags(name),
    referrers: async (subject, tags) => await upstream.referrers(name, subject, tags),
    give: async (target, digest) => {
      // Any repository of one's own storage may have it: who runs this may read all of them.
      const mounted = await target.registry.blobs.mountFromAnywhere(target.name, digest);
      return mounted === undefined ? await download(upstream, name, target, digest) : 0;
    },
  };
}

async function download(
  upstream: Upstream,
  from: RepositoryName,
  { registry, name }: CopyTarget,
  digest: Digest,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const { size, body } = await upstream.blob(from, digest);
    try {
      await registry.uploads.put(name, digest, { body, length: size });
      return size;
    } catch (error) {
      const isWrong = error instanceof RegistryError && error.failure === 'DIGEST_INVALID';
      if (!isWrong) throw error;
      if (attempt === maxDownloads)
        throw new Error(
          `${upstream.host} sent wrong bytes for blob ${digest} of ${from}, ${maxDownloads} times; nothing of it was stored`,
          { cause: error },
        );
    } finally {
      body.destroy();
    }
  }
}
