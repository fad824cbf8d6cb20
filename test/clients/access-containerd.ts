import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Containerd } from '../servers/containerd.ts';
import type { AccessClient } from './access.ts';
import { contentOf, forgetAll } from './containerd.ts';
import { archive, readBlobs, writeImage } from './images.ts';

/**
 * `ctr` with two images. It has no login: credentials are an option of each command. An image is told from others by all that
 * containerd holds of it.
 * @param folder for their files
 */
export async function containerdClient(daemon: Containerd, folder: string): Promise<AccessClient> {
  const file = (image: string) => join(folder, `${image}-layout.tar`);
  const digests = new Map<string, string>();
  const blobs = new Map<string, string>();
  for (const image of ['first', 'second']) {
    const layout = join(folder, `${image}-layout`);
    await mkdir(layout);
    digests.set(image, (await writeImage(layout, [100_000])).digest);
    blobs.set(image, (await readBlobs(layout)).join());
    await writeFile(file(image), await archive(layout));
  }
  const importAll = ['--no-unpack', '--all-platforms', '--digests'];
  let credentials: readonly string[] = [];
  return {
    showsRules: false,
    expiry: { after: 'PUT' },
    login: (_, user, password) => {
      credentials = ['--user', `${user}:${password}`];
      return Promise.resolve();
    },
    logout: () => {
      credentials = [];
      return Promise.resolve();
    },
    push: async (reference, image = 'first') => {
      await forgetAll(daemon);
      await daemon.ctr('images', 'import', ...importAll, '--base-name', reference, file(image));
      const local = `${reference}@${digests.get(image) ?? ''}`;
      await daemon.ctr('images', 'push', '--plain-http', ...credentials, reference, local);
      return blobs.get(image) ?? '';
    },
    pull: async (reference) => {
      await forgetAll(daemon);
      // The native snapshotter copies, where overlays cannot be mounted on overlays.
      const options = ['--plain-http', '--all-platforms', '--snapshotter', 'native'];
      await daemon.ctr('images', 'pull', ...options, ...credentials, reference);
      return (await contentOf(daemon)).join();
    },
  };
}
