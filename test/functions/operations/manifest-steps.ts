/** Steps of the cases of manifests. */
import { randomBytes } from 'node:crypto';
import { descriptor, digestOf, someName, type Client } from '../client.ts';
import type { Case, Expectation } from './case.ts';

/** Pushes a config and a layer, and describes them. */
export async function parts(client: Client, name: string) {
  const [config, layer] = [randomBytes(30), randomBytes(40)];
  await client.pushBlob(name, config);
  await client.pushBlob(name, layer);
  return { config: descriptor(config), layers: [descriptor(layer)] };
}

/** PUTs a manifest by tag `v1` unless said otherwise. */
export function push(
  title: string,
  make: (
    client: Client,
    name: string,
  ) => Promise<{ bytes: Buffer; type?: string | undefined; reference?: string; expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { bytes, type, reference = 'v1', expect } = await make(client, name);
      const headers = type === undefined ? {} : { 'content-type': type };
      return {
        ask: { method: 'PUT', path: `/v2/${name}/manifests/${reference}`, headers, body: bytes },
        expect,
      };
    },
  };
}

/** A case on a repository with an image tagged `v1` and `latest`. */
export function onImage(
  title: string,
  make: (image: { name: string; digest: string; bytes: Buffer; client: Client }) => Promise<{
    method: string;
    reference: string;
    expect: Expectation;
    headers?: Record<string, string | string[]>;
  }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { bytes, digest } = await client.pushImage(name, 'v1');
      await client.pushManifest(name, 'latest', bytes);
      const { method, reference, expect, headers = {} } = await make({ name, digest, bytes, client });
      return { ask: { method, path: `/v2/${name}/manifests/${reference}`, headers }, expect };
    },
  };
}

export const invalid = (...mentions: string[]): Expectation => ({
  status: 400,
  errors: ['MANIFEST_INVALID'],
  mentions,
});
export const unknown: Expectation = { status: 404, errors: ['MANIFEST_UNKNOWN'] };

export const created = (bytes: Buffer): Expectation => ({
  status: 201,
  headers: {
    location: new RegExp(`/manifests/${digestOf(bytes)}$`),
    'docker-content-digest': digestOf(bytes),
    'content-length': '0',
  },
});
