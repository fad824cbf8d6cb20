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
    // Not mounted from a repository that has it: a manifest of another registry may name any digest, and who may pull the target could
    // pull what it is of.
    give: async (target, digest) => await download(upstream, name, target, digest),
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
      // Too many or too few bytes are an UpstreamError of the body. SIZE_INVALID is about the storage's own limits.
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
