import { descriptor, digestOf, imageType, indexType, manifest } from '../../functions/client.ts';
import type { Random } from '../random.ts';

/** Bytes with their digest. */
export interface Content {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** A manifest with all that a client pushes for it. */
export interface Image extends Content {
  readonly type: string;
  /** The config and the layers. */
  readonly blobs: readonly Content[];
  /** Images of an index. */
  readonly children: readonly Image[];
}

/** What an image has to say about another. */
export interface Referrer extends Image {
  readonly subject: Image;
  /** Of a signature as cosign pushes it, which has no subject of its own: `sha256-<hex>.sig`. */
  readonly tag: string | undefined;
}

/** All that is pushed, so little that the same blobs are condemned, rescued, deleted and pushed again all the time. */
export interface Images {
  readonly repositories: readonly string[];
  /** What tags point at: images and indexes. */
  readonly images: readonly Image[];
  readonly referrers: readonly Referrer[];
  /** Those that a rule for retention with `expires: label` removes after a second. */
  readonly shortLived: readonly Image[];
}

/** Bytes of layers. Pushes are many and small; one is larger than what is kept in memory of an upload. */
const layerSizes = [...Array.from({ length: 38 }, (_, i) => 50 + 37 * i), 20_000, 300_000];

export function makeImages(random: Random): Images {
  const layers = layerSizes.map((size) => known(random.bytes(size)));
  const some = (count: number) => Array.from({ length: count }, () => random.one(layers));
  const imageOf = (title: string) => image(known(random.bytes(60)), some(1 + random.below(4)), { title });
  const images = Array.from({ length: 60 }, (_, i) => imageOf(`image ${i}`));
  // The children of indexes are no images of their own: whoever deletes one by its digest breaks no index.
  const indexes = Array.from({ length: 12 }, (_, i) =>
    indexOf([imageOf(`amd64 of ${i}`), imageOf(`arm64 of ${i}`)]),
  );
  return {
    shortLived: Array.from({ length: 6 }, () =>
      image(known(random.bytes(60)), some(2), { 'quay.expires-after': '1s' }),
    ),
    repositories: ['gc/one', 'gc/two', 'gc/two/below', 'gc-three'],
    images: [...images, ...indexes],
    referrers: [
      ...images.slice(0, 12).map((subject) => referrerOf(subject, random.one(layers))),
      ...images.slice(12, 24).map((subject) => signatureOf(subject, random.one(layers))),
    ],
  };
}

function known(bytes: Buffer): Content {
  return { bytes, digest: digestOf(bytes) };
}

function image(config: Content, layers: readonly Content[], annotations: Record<string, string>): Image {
  const bytes = manifest({
    config: descriptor(config.bytes),
    layers: layers.map((layer) => descriptor(layer.bytes)),
    annotations,
  });
  return { ...known(bytes), type: imageType, blobs: [config, ...layers], children: [] };
}

function indexOf(children: readonly Image[]): Image {
  const bytes = manifest(
    { manifests: children.map((child) => descriptor(child.bytes, imageType)) },
    indexType,
  );
  return { ...known(bytes), type: indexType, blobs: [], children };
}

function referrerOf(subject: Image, layer: Content): Referrer {
  const config = known(Buffer.from('{}'));
  const bytes = manifest({
    artifactType: 'application/x.soak',
    config: descriptor(config.bytes),
    layers: [descriptor(layer.bytes)],
    subject: descriptor(subject.bytes, subject.type),
  });
  const one = known(bytes);
  return { ...one, type: imageType, blobs: [config, layer], children: [], subject, tag: undefined };
}

function signatureOf(subject: Image, layer: Content): Referrer {
  const tag = `${subject.digest.replace(':', '-')}.sig`;
  const signature = image(known(Buffer.from('{}')), [layer], { signs: subject.digest });
  return { ...signature, subject, tag };
}
