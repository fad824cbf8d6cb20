import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { descriptor, digestOf, imageType, manifest } from '../../functions/client.ts';
import { skopeo, type Skopeo } from '../../servers/skopeo.ts';
import type { Random } from '../random.ts';
import type { RegistryClient } from './client.ts';
import type { Fleet } from './fleet.ts';
import type { Content, Image } from './images.ts';
import { pullPlace, type World } from './worker.ts';

const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** Images that it pushes, of few layers. */
const imagesMade = 6;

/**
 * Of a push. Older releases of skopeo repeat no request that was answered 5xx; so where nothing is harmed, there should be none:
 * only a machine that is too busy for short fences excuses one.
 */
const attempts = 8;

/** skopeo, which pushes images and deletes their tags, one after the other. */
export class RealClient {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #client: RegistryClient;
  readonly #random: Random;
  pushes = 0;
  /** Pushes that it had to repeat. */
  failures = 0;

  constructor(world: World, fleet: Fleet, client: RegistryClient, random: Random) {
    this.#world = world;
    this.#fleet = fleet;
    this.#client = client;
    this.#random = random;
  }

  /** Until a signal. */
  async run(signal: AbortSignal): Promise<void> {
    const program = await skopeo();
    try {
      const images = makeImages(this.#random);
      images.forEach((image, i) => {
        writeLayout(join(program.folder, String(i)), image);
      });
      while (!signal.aborted) {
        const which = this.#random.below(images.length);
        const image = images[which];
        if (image !== undefined) await this.#pushOnce(program, String(which), image);
        await delay(this.#random.below(500));
      }
    } finally {
      program.remove();
    }
  }

  async #pushOnce(program: Skopeo, layout: string, image: Image): Promise<void> {
    const { places, images } = this.#world;
    const place = places.add(this.#random.one(images.repositories), `skopeo-${++this.pushes}`);
    places.beginPush(place, image);
    let leftBehind = false;
    for (let attempt = 1; ; attempt++) {
      try {
        const { url } = this.#random.one(this.#fleet.endpoints());
        const to = `docker://${new URL(url).host}/${place.name}`;
        await program.copy(`oci:${layout}`, to, '--preserve-digests');
        break;
      } catch (error) {
        if (attempt === attempts) throw error;
        leftBehind = true;
        this.failures++;
        await delay(200);
      }
    }
    places.pushed(place, { leftBehind });
    await pullPlace(this.#client, place, false);
    if (place.state !== 'held') return;
    places.beginDelete(place);
    places.deleted(place, await this.#client.delete(place.repository, place.reference));
  }
}

/** Images as skopeo takes them: with a config, and layers that are compressed archives. */
function makeImages(random: Random): readonly Image[] {
  const archives = Array.from({ length: 5 }, () => Buffer.concat([random.bytes(512), Buffer.alloc(1024)]));
  return Array.from({ length: imagesMade }, (_, i) => {
    const layers = [random.one(archives), random.one(archives)];
    const fields = {
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { number: String(i) } },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
    };
    const config = Buffer.from(JSON.stringify(fields));
    const compressed = layers.map((layer) => gzipSync(layer));
    const bytes = manifest({
      config: descriptor(config, configType),
      layers: compressed.map((layer) => descriptor(layer, layerType)),
    });
    const blobs = [config, ...compressed].map(known);
    return { ...known(bytes), type: imageType, blobs, children: [] };
  });
}

/** The folder of one image in OCI's layout. */
function writeLayout(folder: string, { bytes, digest, type, blobs }: Image): void {
  const place = join(folder, 'blobs/sha256');
  mkdirSync(place, { recursive: true });
  for (const one of [{ bytes, digest }, ...blobs]) writeFileSync(join(place, hexOf(one.digest)), one.bytes);
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const manifests = [{ mediaType: type, digest, size: bytes.length }];
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  // skopeo may run as another user.
  chmodSync(folder, 0o755);
}

function known(bytes: Buffer): Content {
  return { bytes, digest: digestOf(bytes) };
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}
