import { Readable } from 'node:stream';
import type { Digest } from '../../lib/protocol/digests.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import type { Page } from '../../lib/protocol/pages.ts';
import type { ReferrerDescriptor } from '../../lib/protocol/referrers.ts';
import type { Tag } from '../../lib/protocol/tags.ts';
import type { Reference } from '../../lib/protocol/references.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import type { ByteRange } from '../../lib/storage/store.ts';
import {
  UpstreamError,
  type Upstream,
  type UpstreamBlob,
  type UpstreamBlobLocation,
  type UpstreamManifest,
  type UpstreamTags,
} from '../../lib/upstream/upstream.ts';

/**
 * This registry as an upstream, without HTTP. It counts what it is asked for, fails as it is told, and gives the bytes of blobs in pieces,
 * which a test can hold back or change.
 */
export class RegistryUpstream implements Upstream {
  readonly host = 'upstream.example.com';
  /** `resolve team/app:v1`, `manifest team/app@sha256:…`, `blob team/app@sha256:…` */
  readonly asked: string[] = [];
  /** What each request fails with. */
  failure: UpstreamError | undefined;
  /** Whether it answers nothing at all; by default if each request fails so. */
  isDown: boolean | undefined;
  /** Before it tells that it is there. */
  onPing: () => Promise<void> = async () => {
    await Promise.resolve();
  };
  /** Passes on each piece of a blob. */
  onPiece: (piece: Buffer) => Promise<Buffer> | Buffer = (piece) => piece;
  /** After it was asked where a tag points. */
  onResolved: () => Promise<void> = async () => {
    await Promise.resolve();
  };
  /** After it was asked for tags. */
  onTags: () => Promise<void> = async () => {
    await Promise.resolve();
  };
  /** Where it says that bytes are. */
  location: URL | undefined;
  /** Bytes of a piece. */
  pieceBytes = 64 * 1024;
  readonly #registry: Pick<Registry, 'manifests' | 'blobs' | 'tags' | 'referrers'>;

  constructor(registry: Pick<Registry, 'manifests' | 'blobs' | 'tags' | 'referrers'>) {
    this.#registry = registry;
  }

  async ping(): Promise<void> {
    await this.onPing();
    if (this.isDown ?? this.failure?.kind === 'unavailable') throw this.failure ?? new Error('down');
  }

  async resolve(name: RepositoryName, reference: Reference): Promise<UpstreamManifest> {
    return await this.#answer(`resolve ${name}${shown(reference)}`, async () => {
      const { info } = await this.#registry.manifests.get(name, reference);
      await this.onResolved();
      return info;
    });
  }

  async manifest(
    name: RepositoryName,
    digest: Digest,
  ): Promise<UpstreamManifest & { readonly bytes: Buffer }> {
    return await this.#answer(`manifest ${name}@${digest}`, async () => {
      const { info, bytes } = await this.#registry.manifests.get(name, { kind: 'digest', digest });
      return { ...info, bytes };
    });
  }

  async blob(name: RepositoryName, digest: Digest, range?: ByteRange): Promise<UpstreamBlob> {
    return await this.#answer(`blob ${name}@${digest}`, async () => {
      const blob = await this.#registry.blobs.stat(name, digest);
      const opened = await this.#registry.blobs.open(name, blob, range);
      const bytes = Buffer.isBuffer(opened)
        ? opened
        : Buffer.concat(await Array.fromAsync(opened as AsyncIterable<Buffer>));
      return { size: blob.size, body: Readable.from(this.#pieces(bytes), { objectMode: false }) };
    });
  }

  async tagPage(name: RepositoryName, page: Page): Promise<UpstreamTags> {
    return await this.#answer(`tags ${name} n=${page.n} last=${page.last}`, async () => {
      const { names, more } = await this.#registry.tags.list(name, page);
      await this.onTags();
      return { tags: names as readonly Tag[], next: more ? names.at(-1) : undefined };
    });
  }

  async referrerEntries(name: RepositoryName, subject: Digest): Promise<readonly ReferrerDescriptor[]> {
    return await this.#answer(`referrers ${name}@${subject}`, async () => {
      const page = { n: 1000, last: undefined };
      return (await this.#registry.referrers.list(name, subject, page, undefined)).descriptors;
    });
  }

  async blobLocation(name: RepositoryName, digest: Digest): Promise<UpstreamBlobLocation> {
    return await this.#answer(`location of ${name}@${digest}`, async () => {
      const { size } = await this.#registry.blobs.stat(name, digest);
      return { size, url: this.location };
    });
  }

  async *#pieces(bytes: Buffer): AsyncGenerator<Buffer, void> {
    for (let at = 0; at < bytes.length; at += this.pieceBytes)
      yield await this.onPiece(bytes.subarray(at, at + this.pieceBytes));
  }

  async #answer<T>(what: string, answer: () => Promise<T>): Promise<T> {
    this.asked.push(what);
    if (this.failure !== undefined) throw this.failure;
    try {
      return await answer();
    } catch (error) {
      const isUnknown = error instanceof RegistryError && error.status === 404;
      throw isUnknown ? new UpstreamError('unknown', `${this.host} does not have ${what}`) : error;
    }
  }
}

function shown(reference: Reference): string {
  return reference.kind === 'tag' ? `:${reference.tag}` : `@${reference.digest}`;
}
