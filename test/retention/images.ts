/** Images with labels, for tests of retention. */
import { randomBytes } from 'node:crypto';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { digestOf, pushManifest, type PushedImage } from '../registry/undo/images.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Pushes an image whose config has labels. @param references tags, or none to push by digest alone */
export async function pushLabelled(
  store: ObjectStore,
  name: RepositoryName,
  labels: Readonly<Record<string, unknown>> | undefined,
  ...references: readonly string[]
): Promise<PushedImage> {
  const { uploads } = createRegistry(store);
  const config = Buffer.from(
    JSON.stringify({ id: randomBytes(6).toString('hex'), os: 'linux', config: { Labels: labels } }),
  );
  await uploads.put(name, digestOf(config), { body: body(config), length: config.length });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: [],
    }),
  );
  await pushManifest(store, name, bytes, ...references);
  return { digest: digestOf(bytes), bytes, blobs: [digestOf(config)] };
}

/** Pushes an index. @param entries each with more fields of its descriptor */
export async function pushIndexOf(
  store: ObjectStore,
  name: RepositoryName,
  entries: readonly { readonly digest: Digest; readonly size: number; readonly annotations?: object }[],
  fields: object,
  tag: string,
): Promise<Digest> {
  const manifests = entries.map((entry) => ({ mediaType: imageType, ...entry }));
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests,
      ...fields,
    }),
  );
  await pushManifest(store, name, bytes, tag);
  return digestOf(bytes);
}
