import { randomBytes, randomUUID } from 'node:crypto';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { blobData, layerLink, uploadSession } from '../../lib/registry/layout.ts';
import { writeLink } from '../../lib/registry/links.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { streamHash } from '../../lib/registry/uploads/content-hash.ts';
import { Sessions } from '../../lib/registry/uploads/sessions.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { descriptor, digestOf, imageType, indexType, manifest } from '../functions/client.ts';

/** A repository with one of each: an image at the tag `v1`, an index of another image at `multi`, and a referrer of the image. */
export interface SampleRepository {
  readonly name: RepositoryName;
  readonly config: Digest;
  readonly layer: Digest;
  readonly image: Digest;
  readonly child: Digest;
  readonly index: Digest;
  readonly referrer: Digest;
  /** A layer that no manifest needs. */
  readonly unneeded: Digest;
  /** The id of an upload in progress. */
  readonly upload: string;
}

/** Its blobs: 7, and 4 manifests. */
export const sampleBlobs = 11;
export const sampleManifests = 4;
export const sampleLayers = 7;

/** Fills a repository, all of whose bytes are its own. */
export async function fillRepository(store: ObjectStore, name: string): Promise<SampleRepository> {
  const repository = parseRepositoryName(name);
  const registry = createRegistry(store);
  const blob = async () => {
    const bytes = randomBytes(60);
    await addBlob(store, repository, bytes);
    return bytes;
  };
  const put = async (reference: string, bytes: Buffer, type: string) => {
    await registry.manifests.put(repository, parseReference(reference), bytes, type);
    return parseDigest(digestOf(bytes));
  };
  const image = async (more: Record<string, unknown> = {}) => {
    const [config, layer] = [await blob(), await blob()];
    const foreign = {
      ...descriptor(randomBytes(10), 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'),
      urls: ['https://example.com/layer'],
    };
    const layers = [descriptor(layer), foreign];
    const bytes = manifest({ config: descriptor(config), layers, ...more });
    return { bytes, config: parseDigest(digestOf(config)), layer: parseDigest(digestOf(layer)) };
  };
  const first = await image();
  const second = await image();
  // A query completes the scan, after which entries must be there.
  const digest = await put('v1', first.bytes, imageType);
  await registry.referrers.list(repository, digest, { n: 10, last: undefined }, undefined);
  const child = await put(digestOf(second.bytes), second.bytes, imageType);
  const entry = { ...descriptor(second.bytes, imageType), platform: { os: 'linux', architecture: 'amd64' } };
  const index = await put('multi', manifest({ manifests: [entry] }, indexType), indexType);
  const about = await image({ subject: descriptor(first.bytes, imageType) });
  const referrer = await put(digestOf(about.bytes), about.bytes, imageType);
  const unneeded = parseDigest(digestOf(await blob()));
  const upload = await beginUpload(store, repository);
  const { config, layer } = first;
  return { name: repository, config, layer, image: digest, child, index, referrer, unneeded, upload };
}

export const v1 = parseTag('v1');
export const multi = parseTag('multi');

async function addBlob(store: ObjectStore, name: RepositoryName, bytes: Buffer): Promise<void> {
  const digest = parseDigest(digestOf(bytes));
  await store.put(blobData(digest), bytes);
  await writeLink(store, layerLink(name, digest), digest);
}

async function beginUpload(store: ObjectStore, repository: RepositoryName): Promise<string> {
  const id = randomUUID();
  const tail = Buffer.from('the first bytes\n');
  const hash = streamHash();
  hash.update(tail);
  const session = { id, repository, startedAt: new Date(), offset: tail.length, hash: hash.state(), tail };
  await new Sessions(store).save({ ...session, multipart: undefined, etag: undefined });
  return uploadSession(id);
}
