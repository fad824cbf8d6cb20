import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  someName,
  type Ask,
  type Client,
  type Reply,
} from './client.ts';

/** A request for something that exists. */
export interface ReadOperation {
  readonly title: string;
  /**
   * Lays it into a repository.
   * @returns what makes a request. Manifests are others each time, as a registry remembers those that it has read.
   */
  readonly prepare: (client: Client, name: string) => Promise<() => Promise<PreparedRead>>;
}

export interface PreparedRead {
  /** Its path has no host. */
  readonly ask: Ask;
  /** Whether a successful response describes existing content. */
  readonly check: (reply: Reply) => void;
}

const MiB = 1024 ** 2;

const always = (one: PreparedRead) => async (): Promise<PreparedRead> => await Promise.resolve(one);

function pulling(method: 'GET' | 'HEAD', by: 'tag' | 'digest'): ReadOperation {
  return {
    title: `a ${method} of a manifest by ${by}`,
    async prepare(client, name) {
      const config = randomBytes(40);
      await client.pushBlob(name, config);
      return async () => {
        const annotations = { 'org.example.read': someName() };
        const bytes = manifest({ config: descriptor(config), layers: [], annotations });
        const digest = digestOf(bytes);
        await client.pushManifest(name, 'v1', bytes);
        return {
          ask: { method, path: `/v2/${name}/manifests/${by === 'tag' ? 'v1' : digest}` },
          check({ status, headers, body }) {
            assert.equal(status, 200);
            assert.equal(headers['docker-content-digest'], digest);
            if (method === 'GET') assert.ok(body.equals(bytes));
          },
        };
      };
    },
  };
}

/** @param range of some bytes, or undefined for all */
function downloading(size: number, range?: { readonly start: number; readonly end: number }): ReadOperation {
  return {
    title: `a GET of ${range === undefined ? '' : 'a part of '}a blob of ${size} bytes`,
    async prepare(client, name) {
      const bytes = randomBytes(size);
      const digest = await client.pushBlob(name, bytes);
      const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end}` };
      return always({
        ask: { method: 'GET', path: `/v2/${name}/blobs/${digest}`, headers },
        check({ status, body }) {
          assert.equal(status, range === undefined ? 200 : 206);
          const wanted = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
          assert.ok(body.equals(wanted), 'the bytes are others');
        },
      });
    },
  };
}

/** Every operation that only reads. */
export const readOperations: readonly ReadOperation[] = [
  ...(['GET', 'HEAD'] as const).flatMap((method) => [pulling(method, 'tag'), pulling(method, 'digest')]),
  downloading(1000),
  downloading(5 * MiB),
  downloading(5 * MiB, { start: MiB, end: 3 * MiB }),
  {
    title: 'a HEAD of a blob',
    async prepare(client, name) {
      const path = `/v2/${name}/blobs/${await client.pushBlob(name, randomBytes(100))}`;
      const check = ({ status, headers }: Reply) => {
        assert.equal(status, 200);
        assert.equal(headers['content-length'], '100');
      };
      return always({ ask: { method: 'HEAD', path }, check });
    },
  },
  {
    title: 'a list of tags',
    async prepare(client, name) {
      const { bytes } = await client.pushImage(name, 'v1');
      await client.pushManifest(name, 'v2', bytes);
      const check = ({ status, body }: Reply) => {
        assert.equal(status, 200);
        assert.deepEqual(JSON.parse(body.toString()), { name, tags: ['v1', 'v2'] });
      };
      return always({ ask: { method: 'GET', path: `/v2/${name}/tags/list` }, check });
    },
  },
  {
    title: 'the catalog',
    async prepare(client, name) {
      await client.pushImage(name, 'v1');
      const check = ({ status, body }: Reply) => {
        assert.equal(status, 200);
        const { repositories } = JSON.parse(body.toString()) as { repositories: string[] };
        assert.ok(repositories.includes(name));
      };
      return always({ ask: { method: 'GET', path: '/v2/_catalog' }, check });
    },
  },
  {
    title: 'the offset of an upload',
    async prepare(client, name) {
      const location = await client.sendChunk(await client.startUpload(name), 0, randomBytes(100));
      const { pathname, search } = new URL(location);
      const check = ({ status, headers }: Reply) => {
        assert.equal(status, 204);
        assert.equal(headers.range, '0-99');
      };
      return always({ ask: { method: 'GET', path: pathname + search }, check });
    },
  },
  {
    title: 'a PUT of a manifest whose blobs exist',
    async prepare(client, name) {
      const { bytes: child } = await client.pushImage(name, 'child');
      return async () => {
        const fields = {
          manifests: [descriptor(child, imageType)],
          annotations: { 'org.example.read': someName() },
        };
        const body = manifest(fields, indexType);
        const ask = {
          method: 'PUT',
          path: `/v2/${name}/manifests/${digestOf(body)}`,
          headers: { 'content-type': indexType },
          body,
        };
        const check = ({ status, body: text }: Reply) => {
          assert.equal(status, 201, text.toString());
        };
        return await Promise.resolve({ ask, check });
      };
    },
  },
];
