import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { digestOf, withDigest } from '../../functions/client.ts';
import type { BucketRequest } from '../../servers/bucket-proxy.ts';
import { storedImage, type Operations, type Site } from './site.ts';

const MiB = 1024 ** 2;

/** @param newName makes a name whose routes lead to the function that is tried */
export function blobOperations(newName: () => string): Operations {
  return {
    'redirects to the bytes of a blob': async ({ client, direct }) => {
      const [name, bytes] = [newName(), randomBytes(1000)];
      const path = `/v2/${name}/blobs/${await direct.pushBlob(name, bytes)}`;
      await client.must(200, { method: 'HEAD', path });
      const location = client.location(await client.must(307, { method: 'GET', path }));
      const response = await fetch(location);
      assert.equal(response.status, 200, `the signed URL answers ${response.status}`);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
    },
    'does not find a blob that is missing': async ({ client }) => {
      const path = `/v2/${newName()}/blobs/${digestOf(randomBytes(9))}`;
      await client.must(404, { method: 'HEAD', path });
    },
    'deletes a blob': async ({ client, direct }) => {
      const name = newName();
      const path = `/v2/${name}/blobs/${await direct.pushBlob(name, randomBytes(10))}`;
      await client.must(202, { method: 'DELETE', path });
      await direct.must(404, { method: 'HEAD', path });
    },
    'keeps a blob that an immutable tag needs': async (site) => {
      const { name, layer } = await storedImage(site, newName(), ['fixed']);
      await site.client.must(403, { method: 'DELETE', path: `/v2/${name}/blobs/${digestOf(layer)}` });
    },
  };
}

/**
 * Parts are of 5 MiB, and larger objects are copied in parts: the parameters of the deployment say so.
 * @param newName makes a name whose routes lead to the function that is tried
 */
export function uploadOperations(newName: () => string): Operations {
  return {
    'takes a blob in one request': async ({ client, direct }) => {
      const [name, bytes] = [newName(), randomBytes(100)];
      const digest = digestOf(bytes);
      const path = `/v2/${name}/blobs/uploads/?digest=${digest}`;
      const headers = { 'content-type': 'application/octet-stream' };
      await client.must(201, { method: 'POST', path, headers, body: bytes });
      await direct.must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${digest}` });
    },
    'mounts a blob': async ({ client, direct }) => {
      const [from, name] = [newName(), newName()];
      const mount = await direct.pushBlob(from, randomBytes(60));
      const query = new URLSearchParams({ mount, from }).toString();
      await client.must(201, { method: 'POST', path: `/v2/${name}/blobs/uploads/?${query}` });
      await direct.must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${mount}` });
    },
    'takes a blob in small chunks': async (site) => {
      const name = newName();
      const [location, digest] = await sendChunks(site, name, [randomBytes(500), randomBytes(500)]);
      await site.client.must(204, { method: 'GET', path: location });
      await site.client.must(201, { method: 'PUT', path: withDigest(location, digest) });
      await site.direct.must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${digest}` });
    },
    'cancels an upload of several parts': async (site) => {
      const [location] = await sendChunks(site, newName(), largeChunks());
      const id = /uploads\/([^?]+)/.exec(location)?.[1] ?? '';
      assert.equal((await multipartsOf(site, id)).length, 1, 'it is not in parts');
      await site.client.must(204, { method: 'DELETE', path: location });
      await site.client.must(404, { method: 'GET', path: location });
      assert.deepEqual(await multipartsOf(site, id), []);
      assert.deepEqual(await site.bucket.keys(`docker/registry/v2/uploads/${id}`), []);
    },
    'leaves nothing of a copy that fails': async (site) => {
      const [location, digest] = await sendChunks(site, newName(), largeChunks());
      const hex = digest.replace('sha256:', '');
      const fail = ({ operation, key }: BucketRequest) =>
        Promise.resolve(operation === 'UploadPartCopy' && key.includes(hex) ? copyFails : undefined);
      site.beforeRequests.add(fail);
      try {
        const { status } = await site.client.send({ method: 'PUT', path: withDigest(location, digest) });
        assert.notEqual(status, 201, 'it was not copied in parts');
      } finally {
        site.beforeRequests.delete(fail);
      }
      assert.deepEqual(await multipartsOf(site, hex), []);
    },
    'takes a blob of several parts': async (site) => {
      const name = newName();
      const [location, digest] = await sendChunks(site, name, largeChunks());
      await site.client.must(201, { method: 'PUT', path: withDigest(location, digest) });
      await site.direct.must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${digest}` });
    },
  };
}

/** It is not tried again. */
const copyFails = { status: 400, code: 'InvalidRequest' } as const;

const largeChunks = () => [randomBytes(4 * MiB), randomBytes(2 * MiB)];

/** Starts an upload and sends chunks. @returns where it continues, and the digest of what was sent */
async function sendChunks(
  { client }: Site,
  name: string,
  chunks: readonly Buffer[],
): Promise<[location: string, digest: string]> {
  let [next, start] = [await client.startUpload(name), 0];
  for (const chunk of chunks) {
    next = await client.sendChunk(next, start, chunk);
    start += chunk.length;
  }
  return [next, digestOf(Buffer.concat(chunks))];
}

/** @param text of the key that tells it from others */
async function multipartsOf({ bucket }: Site, text: string): Promise<string[]> {
  return (await bucket.multiparts()).filter((key) => key.includes(text));
}
