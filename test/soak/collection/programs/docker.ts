import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { forgetAll } from '../../../clients/docker-images.ts';
import { dockerd } from '../../../servers/dockerd.ts';
import { temporaryFolder } from '../../../servers/folder.ts';
import { dockerArchive, makeImages } from './made.ts';
import type { Program } from './program.ts';

/** Docker, with a daemon of its own. */
export async function docker(): Promise<Program> {
  const folder = await temporaryFolder('docker-images');
  const file = join(folder.path, 'images.tar');
  writeFileSync(file, dockerArchive(makeImages()));
  const daemon = await dockerd();
  const { docker } = daemon;
  const load = async () => {
    await docker('load', '--quiet', '--input', file);
  };
  await load();
  return {
    name: 'docker',
    push: async (image, to) => {
      await docker('tag', `made:${image}`, to);
      await docker('push', '--quiet', to);
    },
    pull: async (from) => {
      await forgetAll(docker);
      try {
        await docker('pull', '--quiet', from);
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
