import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { referrersPrefix } from '../../lib/registry/layout.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { Client, digestOf, imageType, indexType, manifest, type Ask } from '../functions/client.ts';

/** What was pushed before nothing could be written any more. */
export interface Content {
  readonly image: { readonly bytes: Buffer; readonly digest: string; readonly layer: string };
  /** Manifests about the image, sorted. */
  readonly referrers: readonly string[];
}

const name = 'team/app';

/** Pushes an image and two manifests about it. */
export async function pushContent(url: string): Promise<Content> {
  const client = new Client(url);
  const image = await client.pushImage(name, '1');
  const subject = { mediaType: imageType, digest: image.digest, size: image.bytes.length };
  const referrers: string[] = [];
  for (const number of ['1', '2']) {
    const bytes = manifest({ manifests: [], subject, annotations: { number } }, indexType);
    await client.pushManifest(name, digestOf(bytes), bytes, indexType);
    referrers.push(digestOf(bytes));
  }
  return { image, referrers: referrers.sort() };
}

/** Leaves of it what distribution would have: no index of referrers. */
export async function withoutIndex(store: ObjectStore): Promise<void> {
  const { objects } = await store.list({ prefix: referrersPrefix(parseRepositoryName(name)) });
  assert.ok(objects.length > 0);
  await store.delete(objects.map(({ key }) => key));
}

/** Every kind of read, each twice: what the first finds out cannot be stored for the second. */
export async function assertReads(url: string, { image, referrers }: Content): Promise<void> {
  const client = new Client(url);
  const { digest, layer, bytes } = image;
  for (let round = 1; round <= 2; round++) {
    const get = async (path: string, status = 200, method = 'GET') => {
      const { body, headers } = await client.must(status, { method, path });
      return { body, headers, json: () => JSON.parse(body.toString()) as Record<string, unknown> };
    };
    await get('/v2/');
    assert.deepEqual((await get('/v2/_catalog')).json()['repositories'], [name]);
    assert.deepEqual((await get(`/v2/${name}/tags/list`)).json()['tags'], ['1']);
    for (const reference of ['1', digest]) {
      assert.deepEqual((await get(`/v2/${name}/manifests/${reference}`)).body, bytes);
      const { headers } = await get(`/v2/${name}/manifests/${reference}`, 200, 'HEAD');
      assert.equal(headers['docker-content-digest'], digest);
    }
    await get(`/v2/${name}/blobs/${layer}`, 200, 'HEAD');
    const blob = await client.send({ method: 'GET', path: `/v2/${name}/blobs/${layer}` });
    assert.ok(blob.status === 200 || blob.status === 307, String(blob.status));
    await get(`/v2/${name}/manifests/none`, 404);
    await get(`/v2/${name}/blobs/${digestOf(Buffer.from('none'))}`, 404, 'HEAD');
    await get('/v2/none/tags/list', 404);
    const found = (await get(`/v2/${name}/referrers/${digest}`)).json()['manifests'] as { digest: string }[];
    assert.deepEqual(found.map((one) => one.digest).sort(), referrers);
    const paged = await get(`/v2/${name}/referrers/${digest}?n=1`);
    assert.equal((paged.json()['manifests'] as unknown[]).length, 1);
    const [, next = ''] = /<([^>]+)>/.exec(String(paged.headers['link'])) ?? [];
    assert.equal(
      (JSON.parse((await get(next)).body.toString()) as { manifests: unknown[] }).manifests.length,
      1,
    );
    const typed = await get(`/v2/${name}/referrers/${digest}?artifactType=none/such`);
    assert.deepEqual(typed.json()['manifests'], []);
    assert.equal((await get('/v1/search?q=app')).json()['num_results'], 1);
  }
}

/** Requests that write, none of which can succeed. */
export function writes({ image }: Content): readonly Ask[] {
  const bytes = randomBytes(20);
  const headers = { 'content-type': imageType };
  return [
    { method: 'POST', path: `/v2/${name}/blobs/uploads/` },
    { method: 'POST', path: `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, body: bytes },
    { method: 'POST', path: `/v2/other/blobs/uploads/?mount=${image.layer}&from=${name}` },
    { method: 'PUT', path: `/v2/${name}/manifests/2`, headers, body: image.bytes },
    {
      method: 'PUT',
      path: `/v2/${name}/manifests/3`,
      headers: { ...headers, 'if-none-match': '*' },
      body: image.bytes,
    },
    { method: 'DELETE', path: `/v2/${name}/manifests/1` },
    { method: 'DELETE', path: `/v2/${name}/manifests/${image.digest}` },
    { method: 'DELETE', path: `/v2/${name}/blobs/${image.layer}` },
  ];
}
