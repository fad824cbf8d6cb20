import { RegistryError } from '../../protocol/errors.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Reference } from '../../protocol/references.ts';
import type { AnnounceOptions, Chunk, Registry } from '../interface.ts';
import { QuotaExceeded } from '../quotas/quota.ts';
import type { QuotaLimit } from '../quotas/quotas.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { wrap } from './wrap.ts';

/** Bytes of a manifest up to which only a look counts it. Usual ones have some kilobytes, and the largest 4 MiB. */
const maxUncounted = 64 * 1024;

/**
 * A registry that refuses pushes beyond a quota, for requests about one repository. What an upload adds is recorded before its blob
 * appears. An upload that has begun may finish, and what adds nothing is never refused: a mount from a repository with the same quota,
 * and a manifest that is there.
 */
export function withQuota(registry: Registry, { quota, uses, covers }: QuotaLimit): Registry {
  const assertRoom = async (added: number): Promise<void> => {
    const used = await uses.used(quota.id);
    if (used >= quota.bytes || used + added > quota.bytes) throw new QuotaExceeded(quota, used, added);
  };

  const mountFromOther = async (
    blobs: Registry['blobs'],
    name: RepositoryName,
    digest: Digest,
    from: RepositoryName,
    options: AnnounceOptions | undefined,
  ) => {
    const blob = await undefinedIfUnknown(blobs.stat(from, digest));
    if (blob === undefined) return undefined;
    if (!(await blobs.has(name, digest))) {
      await assertRoom(blob.size);
      await uses.record(quota.id, name, blob);
    }
    return await blobs.mount(name, digest, from, options);
  };

  return wrap(registry, {
    blobs: (blobs) => ({
      mount: async (name, digest, from, options) =>
        covers(from)
          ? await blobs.mount(name, digest, from, options)
          : await mountFromOther(blobs, name, digest, from, options),
      mountFromAnywhere: async (name, digest, isSource = () => true, options = {}) => {
        let other: RepositoryName | undefined;
        const isCoveredSource = (from: RepositoryName) => {
          if (isSource(from) && !covers(from)) other = from;
          return isSource(from) && covers(from);
        };
        const mounted = await blobs.mountFromAnywhere(name, digest, isCoveredSource, options);
        if (mounted !== undefined || other === undefined) return mounted;
        return await mountFromOther(blobs, name, digest, other, options);
      },
    }),
    uploads: (uploads) => ({
      start: async (name, algorithm) => {
        await assertRoom(0);
        return await uploads.start(name, algorithm);
      },
      append: async (name, id, chunk) => {
        const received = await uploads.append(name, id, chunk);
        uses.received(id, received);
        return received;
      },
      finish: async (name, id, digest, last, options) => {
        let recorded: number | undefined;
        const record = async (size: number) => {
          await uses.record(quota.id, name, { digest, size });
          recorded = size;
        };
        const known = uses.takeReceived(id);
        if (last === undefined) {
          const size = known ?? (await undefinedIfUnknown(uploads.status(name, id)));
          if (size !== undefined) await record(size);
        }
        const counted = last && withEnd(last, last.start, record);
        const blob = await uploads.finish(name, id, digest, counted, options);
        // Other processes may have received more of it.
        if (recorded !== undefined && recorded !== blob.size) await record(blob.size);
        return blob;
      },
      put: async (name, digest, blob, options) => {
        await assertRoom(blob.length ?? 0);
        const record = async (size: number) => {
          await uses.record(quota.id, name, { digest, size });
        };
        return await uploads.put(name, digest, withEnd(blob, 0, record), options);
      },
    }),
    manifests: (manifests) => ({
      put: async (name, reference, bytes, contentType, options) => {
        const used = await uses.used(quota.id);
        const isFull = used > quota.bytes;
        const size = bytes.byteLength;
        if (isFull || size > maxUncounted) {
          const digest = digestOfManifest(reference, bytes);
          if (!(await manifests.has(name, digest))) {
            if (isFull) throw new QuotaExceeded(quota, used, 0);
            await uses.record(quota.id, name, { digest, size });
          }
        }
        return await manifests.put(name, reference, bytes, contentType, options);
      },
    }),
  });
}

/** The same bytes. @param onEnd is waited for once all of them were read, with the size of the blob, before anything is made of them */
function withEnd<Body extends Pick<Chunk, 'body' | 'length'>>(
  chunk: Body,
  start: number,
  onEnd: (size: number) => Promise<void>,
): Body {
  const { body, length } = chunk;
  async function* read(): AsyncGenerator<Uint8Array, void> {
    let received = 0;
    for await (const bytes of body) {
      received += bytes.byteLength;
      yield bytes;
    }
    if (length === undefined || received === length) await onEnd(start + received);
  }
  return { ...chunk, body: read() };
}

function digestOfManifest(reference: Reference, bytes: Uint8Array): Digest {
  return reference.kind === 'digest' ? reference.digest : digestOf(bytes);
}

/** What is 404 leaves the answer to the method itself. */
async function undefinedIfUnknown<T>(work: Promise<T>): Promise<T | undefined> {
  return await work.catch((error: unknown) => {
    if (error instanceof RegistryError && error.status === 404) return undefined;
    throw error;
  });
}
