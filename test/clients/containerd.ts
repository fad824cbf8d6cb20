import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { containerd, type Containerd } from '../servers/containerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import type { Registry, StartRegistry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { archive, readBlobs, writeImage, writeIndex, type Layout } from './images.ts';

/** More than a Lambda function takes (6 MB of base64), and than one part of a multipart upload. */
const BIG_LAYER = 9 * 1024 * 1024;

/** containerd pushes and pulls through a registry, the way BuildKit and Kubernetes do: blobs in a single PUT. */
export function containerdFlow(name: string, start: StartRegistry): void {
  describe(`containerd, with ${name}`, requires('containerd'), () => {
    let folder: Folder;
    let daemon: Containerd;
    let registry: Registry;
    const images = async (...args: string[]) => await daemon.ctr('images', ...args);

    before(async () => {
      folder = await temporaryFolder('ctr');
      daemon = await containerd();
      registry = await start(join(folder.path, 'registry'));
    });

    after(async () => {
      await registry.stop();
      await daemon.stop();
      folder.remove();
    });

    /** Pushes a layout, forgets it, pulls it, and compares all blobs. */
    const roundTrip = async (layout: Layout, reference: string) => {
      const blobs = await readBlobs(layout.folder);
      const file = `${layout.folder}.tar`;
      await writeFile(file, await archive(layout.folder));
      await images('import', '--no-unpack', '--all-platforms', '--digests', '--base-name', reference, file);
      await images('push', '--plain-http', reference, `${reference}@${layout.digest}`);
      await forgetAll(daemon);
      // The native snapshotter copies, where overlays cannot be mounted on overlays.
      await images('pull', '--plain-http', '--all-platforms', '--snapshotter', 'native', reference);
      assert.deepEqual(await contentOf(daemon), blobs);
      await forgetAll(daemon);
    };

    const layoutFolder = async (layout: string) => {
      const path = join(folder.path, layout);
      await mkdir(path);
      return path;
    };

    it('pulls the image it pushed, with a layer above 6 MB', async () => {
      const layout = await writeImage(await layoutFolder('image'), [1000, BIG_LAYER, 100_000]);
      await roundTrip(layout, `${registry.address}/ctr/app:1`);
    });

    it('pulls the multi-architecture index it pushed', async () => {
      const layout = await writeIndex(await layoutFolder('index'), ['amd64', 'arm64']);
      await roundTrip(layout, `${registry.address}/ctr/multi:1`);
    });

    it('pulls by digest', async () => {
      const layout = await writeImage(await layoutFolder('by-digest'), [1000]);
      const repository = `${registry.address}/ctr/digest`;
      await roundTrip(layout, `${repository}:1`);
      await images('pull', '--plain-http', '--snapshotter', 'native', `${repository}@${layout.digest}`);
      assert.deepEqual(await contentOf(daemon), await readBlobs(layout.folder));
    });
  });
}

/** The digests of all that containerd holds. It has checked each against its bytes. */
export async function contentOf(daemon: Containerd): Promise<string[]> {
  const { text } = await daemon.ctr('content', 'ls', '--quiet');
  return text.split('\n').filter(Boolean).sort();
}

/**
 * Removes all images and their content. `--sync` waits for the next collection to end, which may have begun before the
 * removal, so it is asked for again: a lease given up synchronously asks for one.
 */
export async function forgetAll(daemon: Containerd): Promise<void> {
  const { text } = await daemon.ctr('images', 'ls', '--quiet');
  if (text !== '') await daemon.ctr('images', 'rm', '--sync', ...text.split('\n'));
  for (let attempt = 0; attempt < 20 && (await contentOf(daemon)).length > 0; attempt++) {
    const lease = `collect-${attempt}`;
    await daemon.ctr('leases', 'create', '--id', lease);
    await daemon.ctr('leases', 'delete', '--sync', lease);
  }
  assert.deepEqual(await contentOf(daemon), []);
}
