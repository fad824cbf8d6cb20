import { descriptor, digestOf, imageType, indexType, manifest } from '../functions/client.ts';
import { Random } from './random.ts';

/** Bytes that all clients know by their digest. */
export interface Content {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** A manifest, and the digests of what must be in a repository before it. */
export interface KnownManifest extends Content {
  readonly type: string;
  readonly blobs: readonly string[];
  readonly manifests: readonly string[];
}

/** All that the clients push, so few that they often meet. */
export interface Universe {
  readonly repositories: readonly string[];
  readonly blobs: readonly Content[];
  readonly manifests: readonly KnownManifest[];
  readonly tags: readonly string[];
}

const MiB = 1024 ** 2;

/** Of blobs. Most are small, some are more than a part of a multipart upload or two. */
const sizes = [0, 1, 100, 100, 100, 100, 5000, 5000, 200_000, 5.5 * MiB, 11 * MiB];

export function universeOf(seed: number): Universe {
  const random = new Random(seed);
  const blobs = sizes.map((size) => known(random.bytes(size)));
  const small = blobs.slice(1, 8);
  const images = Array.from({ length: 6 }, (_, i) =>
    imageOf(String(i), random.one(small), [random.one(small), random.one(small)]),
  );
  return {
    repositories: ['soak/one', 'soak/two', 'soak/two/below', 'soak-three'],
    blobs,
    manifests: [...images, indexOf(images.slice(0, 2)), indexOf(images.slice(1, 4))],
    tags: ['latest', 'v1', 'v1.0', 'v1-rc', 'V2'],
  };
}

function known(bytes: Buffer): Content {
  return { bytes, digest: digestOf(bytes) };
}

function imageOf(title: string, config: Content, layers: readonly Content[]): KnownManifest {
  const bytes = manifest({
    config: descriptor(config.bytes),
    layers: layers.map((layer) => descriptor(layer.bytes)),
    annotations: { title },
  });
  const blobs = [...new Set([config, ...layers].map(({ digest }) => digest))];
  return { ...known(bytes), type: imageType, blobs, manifests: [] };
}

function indexOf(images: readonly KnownManifest[]): KnownManifest {
  const manifests = images.map(({ bytes }) => descriptor(bytes, imageType));
  return {
    ...known(manifest({ manifests }, indexType)),
    type: indexType,
    blobs: [],
    manifests: images.map(({ digest }) => digest),
  };
}
