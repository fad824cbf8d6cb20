import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { descriptor, digestOf, imageType, manifest } from '../../../functions/client.ts';
import { tar } from '../../../clients/images.ts';
import { imagesMade } from './program.ts';

const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** An image with a config, and layers that are archives, which other images have as well. */
export interface Made {
  readonly config: Buffer;
  readonly layers: readonly Buffer[];
}

export function makeImages(): readonly Made[] {
  const layers = Array.from({ length: imagesMade }, (_, i) =>
    tar([{ name: `file-${i}`, content: randomBytes(700) }]),
  );
  return Array.from({ length: imagesMade }, (_, i) => {
    const own = layers.filter((_, one) => one === i || one === (i + 1) % imagesMade);
    const fields = {
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { number: String(i) } },
      rootfs: { type: 'layers', diff_ids: own.map((layer) => digestOf(layer)) },
    };
    return { config: Buffer.from(JSON.stringify(fields)), layers: own };
  });
}

/** Writes an image in OCI's layout. @param tag in the layout  @param folder a new one */
export function writeLayout(folder: string, { config, layers }: Made, tag: string): void {
  const place = join(folder, 'blobs/sha256');
  mkdirSync(place, { recursive: true });
  const compressed = layers.map((layer) => gzipSync(layer));
  const bytes = manifest({
    config: descriptor(config, configType),
    layers: compressed.map((layer) => descriptor(layer, layerType)),
  });
  for (const one of [bytes, config, ...compressed]) writeFileSync(join(place, hexOf(one)), one);
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  const manifests = [{ ...descriptor(bytes, imageType), annotations }];
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}

/** Images as `docker save` writes them, under the names of their numbers: `made:0`. */
export function dockerArchive(images: readonly Made[]): Buffer {
  const files = new Map<string, Buffer>();
  const entries = images.map(({ config, layers }, i) => {
    files.set(`${hexOf(config)}.json`, config);
    for (const layer of layers) files.set(`${hexOf(layer)}.tar`, layer);
    return {
      Config: `${hexOf(config)}.json`,
      RepoTags: [`made:${i}`],
      Layers: layers.map((layer) => `${hexOf(layer)}.tar`),
    };
  });
  files.set('manifest.json', Buffer.from(JSON.stringify(entries)));
  return tar([...files].map(([name, content]) => ({ name, content })));
}

function hexOf(bytes: Buffer): string {
  return digestOf(bytes).slice('sha256:'.length);
}
