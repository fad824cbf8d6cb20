import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dockerd } from '../servers/dockerd.ts';
import type { AccessClient } from './access.ts';
import { forgetAll, idOf } from './docker-images.ts';
import { tar } from './images.ts';

/** docker with two images. @param folder for their files */
export async function dockerClient(daemon: Dockerd, folder: string): Promise<AccessClient> {
  const { docker } = daemon;
  const saved = join(folder, 'images.tar');
  for (const image of ['first', 'second']) {
    const layer = join(folder, `${image}.tar`);
    await writeFile(layer, tar([{ name: image, content: randomBytes(100_000) }]));
    await docker('import', layer, image);
  }
  await docker('save', '--output', saved, 'first', 'second');
  return {
    showsRules: true,
    expiry: { after: 'PATCH' },
    login: async (host, user, password) => await daemon.login(host, user, password),
    logout: async (host) => await docker('logout', host),
    push: async (reference, image = 'first') => {
      await docker('load', '--input', saved);
      await docker('tag', image, reference);
      await docker('push', reference);
      return await idOf(docker, reference);
    },
    pull: async (reference) => {
      await docker('load', '--input', saved);
      await forgetAll(docker);
      await docker('pull', reference);
      return await idOf(docker, reference);
    },
  };
}
