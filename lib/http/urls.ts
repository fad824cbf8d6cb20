import type { Config, Program } from '../config/config.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';

/**
 * URLs in responses. Relative by default, since a gateway does not pass the client's host reliably; absolute with
 * `REGISTRY_HTTP_HOST` and from one plane to the other.
 */
export class Urls {
  readonly #registry: string;
  readonly #uploads: string;
  readonly #dataPlane: string | undefined;
  readonly #prefix: string;

  constructor(
    program: Program,
    { host, relativeUrls, dataPlane, prefix }: Pick<Config, 'host' | 'relativeUrls' | 'dataPlane' | 'prefix'>,
  ) {
    this.#prefix = prefix;
    const absolute = host !== undefined && (!relativeUrls || program === 'data-plane');
    // The functions beside a data plane have no prefix.
    this.#registry = (absolute ? host : '') + (program === 'data-plane' ? '' : prefix);
    this.#dataPlane = dataPlane;
    // An upload stays on the data plane.
    this.#uploads = program === 'data-plane' ? prefix : (dataPlane ?? this.#registry);
  }

  /** For a link to the same server. @param path as in the specs, such as `/v2/_catalog` */
  path(path: string): string {
    return `${this.#prefix}${path}`;
  }

  manifest(name: RepositoryName, reference: string): string {
    return `${this.#registry}/v2/${name}/manifests/${reference}`;
  }

  blob(name: RepositoryName, digest: Digest): string {
    return `${this.#registry}/v2/${name}/blobs/${digest}`;
  }

  /** For the next request of an upload. */
  upload(name: RepositoryName, id: string, state: string): string {
    return `${this.#uploads}/v2/${name}/blobs/uploads/${id}?${new URLSearchParams({ _state: state }).toString()}`;
  }

  /** On the data plane; undefined without one. */
  streamedBlob(name: RepositoryName, digest: Digest, signature: URLSearchParams): string | undefined {
    if (this.#dataPlane === undefined) return undefined;
    return `${this.#dataPlane}/v2/${name}/blobs/${digest}?${signature.toString()}`;
  }
}
