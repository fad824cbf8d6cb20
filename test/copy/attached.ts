/** What is attached to images, as signers and scanners do it. */
import { randomBytes } from 'node:crypto';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { digestOf, pushManifest } from '../registry/undo/images.ts';

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Pushes a blob that no other is like. */
export async function pushBlob(store: ObjectStore, name: RepositoryName, bytes = randomBytes(20)) {
  const digest = digestOf(bytes);
  await createRegistry(store).uploads.put(name, digest, { body: body(bytes), length: bytes.length });
  return { mediaType: 'application/octet-stream', digest, size: bytes.length };
}

/** Pushes a manifest about another one. @returns its digest */
export async function attach(
  store: ObjectStore,
  name: RepositoryName,
  subject: { readonly digest: Digest; readonly size: number },
): Promise<Digest> {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const layers = [await pushBlob(store, name)];
  const config = await pushBlob(store, name);
  const fields = { schemaVersion: 2, mediaType, artifactType: 'application/spdx+json', config, layers };
  const bytes = Buffer.from(JSON.stringify({ ...fields, subject: { mediaType, ...subject } }));
  await pushManifest(store, name, bytes);
  return digestOf(bytes);
}

/** The tag under which cosign keeps the signatures of a manifest. */
export function signatureTag(digest: Digest): string {
  return `${digest.replace(':', '-')}.sig`;
}
