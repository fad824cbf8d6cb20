import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { forgetAll } from '../../../clients/containerd.ts';
import { archive } from '../../../clients/images.ts';
import * as servers from '../../../servers/containerd.ts';
import { temporaryFolder } from '../../../servers/folder.ts';
import { makeImages, writeLayout } from './made.ts';
import type { Program } from './program.ts';

/** containerd, with a daemon of its own, which pushes as BuildKit and pulls as Kubernetes does. */
export async function containerd(): Promise<Program> {
  const folder = await temporaryFolder('containerd-images');
  const images = makeImages();
  for (const [i, image] of images.entries()) {
    const layout = join(folder.path, String(i));
    writeLayout(layout, image, String(i));
    writeFileSync(`${layout}.tar`, await archive(layout));
  }
  const daemon = await servers.containerd();
  const nameOf = (image: number) => `made.example.com/made:${image}`;
  const load = async () => {
    for (const i of images.keys())
      await daemon.ctr(
        ...['images', 'import', '--no-unpack', '--base-name', 'made.example.com/made'],
        join(folder.path, `${i}.tar`),
      );
  };
  await load();
  return {
    name: 'containerd',
    push: async (image, to) => {
      await daemon.ctr('images', 'push', '--plain-http', to, nameOf(image));
    },
    pull: async (from) => {
      await forgetAll(daemon);
      try {
        // The native snapshotter copies, where overlays cannot be mounted on overlays.
        await daemon.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', from);
      } finally {
        await load();
      }
    },
    stop: async () => {
      await daemon.stop();
      folder.remove();
    },
  };
}
