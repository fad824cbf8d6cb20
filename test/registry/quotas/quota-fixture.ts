import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseStorageRules } from '../../../lib/access/policy/parse.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { QuotaCount } from '../../../lib/maintenance/quotas/quota-count.ts';
import { digestFrom, type Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../../lib/protocol/names.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import type { Registry } from '../../../lib/registry/interface.ts';
import { QuotaRules } from '../../../lib/registry/quotas/quota.ts';
import { Quotas } from '../../../lib/registry/quotas/quotas.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { withQuota } from '../../../lib/registry/wrappers/with-quota.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';

/** Bytes that no test has had before. */
export const some = (size: number): Buffer => randomBytes(size);

export const digestOf = (bytes: Uint8Array): Digest =>
  digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));

export const nameOf = (text: string): RepositoryName => parseRepositoryName(text);

export const rulesOf = (text: string): QuotaRules => new QuotaRules(parseStorageRules(text).quotas);

/** A process of a registry with quotas. Its time stands still unless it is moved. */
export class QuotaProcess {
  readonly #registry: Registry;
  readonly #quotas: Quotas;
  nowMs = 0;

  constructor(store: ObjectStore, rules: string) {
    this.#registry = createRegistry(store, { secrets: ['secret'] });
    const parsed = parseStorageRules(rules);
    const source = { current: async () => await Promise.resolve(parsed) };
    this.#quotas = new Quotas(store, source, () => ({ wallMs: this.nowMs, monotonicMs: this.nowMs }));
  }

  /** The registry of a request about a repository. */
  async of(name: RepositoryName): Promise<Registry> {
    const limit = await this.#quotas.limitOf(name);
    return limit === undefined ? this.#registry : withQuota(this.#registry, limit);
  }

  /** What the process believes to be used of the quota of a repository. */
  async used(name: RepositoryName): Promise<number | undefined> {
    const limit = await this.#quotas.limitOf(name);
    return limit && (await limit.uses.used(limit.quota.id));
  }

  /** As docker does: POST, PATCH and PUT. */
  async upload(name: RepositoryName, bytes: Buffer): Promise<Digest> {
    const { uploads } = await this.of(name);
    return await this.finish(name, await uploads.start(name), bytes);
  }

  async finish(name: RepositoryName, id: string, bytes: Buffer): Promise<Digest> {
    const { uploads } = await this.of(name);
    const chunk = { body: bodyOf(bytes), start: 0, length: undefined, partial: false };
    await uploads.append(name, id, chunk);
    const digest = digestOf(bytes);
    await uploads.finish(name, id, digest, undefined);
    return digest;
  }

  /** As containerd does: one request with all bytes. */
  async put(name: RepositoryName, bytes: Buffer): Promise<Digest> {
    const { uploads } = await this.of(name);
    const digest = digestOf(bytes);
    await uploads.put(name, digest, { body: bodyOf(bytes), length: bytes.byteLength });
    return digest;
  }

  /** Pushes a manifest of blobs. @returns its bytes */
  async manifest(name: RepositoryName, tag: string, blobs: readonly Digest[]): Promise<Buffer> {
    const { manifests } = await this.of(name);
    const bytes = manifestOf(blobs);
    const type = 'application/vnd.oci.image.manifest.v1+json';
    await manifests.put(name, { kind: 'tag', tag: parseTag(tag) }, bytes, type);
    return bytes;
  }
}

export function manifestOf([config, ...layers]: readonly Digest[]): Buffer {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const describe = (digest: Digest | undefined) => ({
    mediaType: 'application/octet-stream',
    digest,
    size: 1,
  });
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config: describe(config), layers: layers.map(describe) }),
  );
}

export async function* bodyOf(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 400)
    yield await Promise.resolve(bytes.subarray(at, at + 400));
}

/** Looks at the bucket, and keeps the sums. @returns what each quota uses, in order */
export async function sum(store: ObjectStore, rules: string): Promise<number[]> {
  // One that begins in the millisecond in which another ended leaves the sum to that.
  await sleep(2);
  const count = await QuotaCount.begin(store, rulesOf(rules));
  await look(store, {}, count);
  await count.writeSums();
  return count.usage.map(({ used }) => used);
}
