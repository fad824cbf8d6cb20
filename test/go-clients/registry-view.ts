import assert from 'node:assert/strict';
import type { Stowage } from '../servers/stowage.ts';

/** One of the requests that a registry logs. */
interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/** The part of manifests that flows look at. */
interface Manifest {
  readonly mediaType: string;
  readonly layers?: readonly { readonly digest: string }[] | null;
  readonly manifests?: readonly { readonly digest: string }[];
}

/** The registry as it is without any client. */
export class RegistryView {
  readonly #registry: Pick<Stowage, 'address' | 'output'>;

  constructor(registry: Pick<Stowage, 'address' | 'output'>) {
    this.#registry = registry;
  }

  async tags(repository: string): Promise<string[]> {
    const { tags } = (await this.#get(`${repository}/tags/list`)) as { tags: string[] };
    return tags;
  }

  async manifest(repository: string, reference: string): Promise<Manifest> {
    return (await this.#get(`${repository}/manifests/${reference}`)) as Manifest;
  }

  /** The types of the artifacts that refer to a manifest, sorted. */
  async referrers(repository: string, digest: string): Promise<string[]> {
    const index = (await this.#get(`${repository}/referrers/${digest}`)) as {
      manifests: { artifactType: string }[];
    };
    return index.manifests.map(({ artifactType }) => artifactType).sort();
  }

  /** The responses to requests with this method below this path of a repository, oldest first. */
  answers(method: string, repository: string, path: string): number[] {
    const prefix = `/v2/${repository}/${path}`;
    return (
      this.#requests()
        // serverless-offline drops a slash at the end.
        .filter((request) => request.method === method && `${request.path}/`.startsWith(prefix))
        .map(({ status }) => status)
    );
  }

  /** Fails unless all blobs that a repository was given were mounted: none of them was uploaded. */
  assertMounted(repository: string, blobs: number): void {
    const begun = this.answers('POST', repository, 'blobs/uploads/');
    assert.deepEqual(
      begun,
      Array.from({ length: blobs }, () => 201),
    );
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`http://${this.#registry.address}/v2/${path}`);
    assert.equal(response.status, 200, `GET /v2/${path}`);
    return await response.json();
  }

  /** The latest some hundred. */
  #requests(): LoggedRequest[] {
    return this.#registry
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Partial<LoggedRequest>)
      .filter((line): line is LoggedRequest => line.path !== undefined);
  }
}
