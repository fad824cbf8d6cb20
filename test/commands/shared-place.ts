import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Registry } from '../servers/registry.ts';

/*
 * Images, and a client of any registry that pushes as others do: it uploads only what HEAD does not find.
 */

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

export interface Manifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface Image {
  readonly digest: string;
  readonly manifest: Manifest;
  /** Its digest. */
  readonly config: string;
  readonly layers: readonly Buffer[];
  /** Layers and config, by digest. */
  readonly blobs: ReadonlyMap<string, Buffer>;
}

/** With some layers and one of its own. */
export function newImage(...shared: readonly (Buffer | undefined)[]): Image {
  const config = Buffer.from(JSON.stringify({ of: randomBytes(8).toString('hex') }));
  const layers = [...shared.flatMap((layer) => layer ?? []), randomBytes(2000)];
  const content = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: entry(types.config, config),
    layers: layers.map((layer) => entry(types.layer, layer)),
  };
  const bytes = Buffer.from(JSON.stringify(content));
  return {
    digest: digestOf(bytes),
    manifest: { mediaType: types.manifest, bytes },
    config: digestOf(config),
    layers,
    blobs: new Map([...layers, config].map((blob) => [digestOf(blob), blob])),
  };
}

export function indexOf({ manifest }: Image): Manifest {
  const child = {
    ...entry(types.manifest, manifest.bytes),
    platform: { os: 'linux', architecture: 'amd64' },
  };
  const content = { schemaVersion: 2, mediaType: types.index, manifests: [child] };
  return { mediaType: types.index, bytes: Buffer.from(JSON.stringify(content)) };
}

export async function push(registry: Registry, name: string, tag: string, image: Image): Promise<void> {
  for (const [digest, bytes] of image.blobs) {
    if ((await request(registry, 'HEAD', `${name}/blobs/${digest}`)).status === 200) continue;
    const begun = await request(registry, 'POST', `${name}/blobs/uploads/`);
    assert.equal(begun.status, 202);
    const upload = new URL(begun.headers.get('Location') ?? '', begun.url);
    upload.searchParams.set('digest', digest);
    const headers = { 'Content-Type': 'application/octet-stream' };
    const ended = await fetch(upload, { method: 'PUT', body: Uint8Array.from(bytes), headers });
    assert.equal(ended.status, 201, await ended.text());
  }
  const response = await put(registry, name, tag, image.manifest);
  assert.equal(response.status, 201, await response.text());
}

export async function put(
  registry: Registry,
  name: string,
  reference: string,
  { mediaType, bytes }: Manifest,
): Promise<Response> {
  return await request(registry, 'PUT', `${name}/manifests/${reference}`, {
    body: Uint8Array.from(bytes),
    headers: { 'Content-Type': mediaType },
  });
}

/** Pulls all of an image, and compares it. */
export async function pull(registry: Registry, name: string, reference: string, image: Image): Promise<void> {
  const headers = { Accept: types.manifest };
  const manifest = await request(registry, 'GET', `${name}/manifests/${reference}`, { headers });
  const what = `${name}:${reference} of ${registry.address}`;
  const bytes = Buffer.from(await manifest.arrayBuffer());
  assert.equal(manifest.status, 200, `${what}: ${bytes.toString()}`);
  assert.equal(digestOf(bytes), image.digest, what);
  for (const digest of image.blobs.keys()) {
    const blob = await request(registry, 'GET', `${name}/blobs/${digest}`);
    assert.equal(blob.status, 200, `${digest} of ${what}`);
    assert.equal(digestOf(Buffer.from(await blob.arrayBuffer())), digest, what);
  }
}

export async function request(
  { address }: Registry,
  method: string,
  path: string,
  more: Omit<RequestInit, 'method'> = {},
): Promise<Response> {
  return await fetch(`http://${address}/v2/${path}`, { ...more, method });
}

function entry(mediaType: string, bytes: Buffer): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
